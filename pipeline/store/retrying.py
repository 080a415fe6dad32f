"""Which failures are tried again: those that lie in the world, at the next run, up to a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.recipe.limits import LimitsConfig


@dataclass(frozen=True)
class Retrying:
    """What a run tries again."""

    run_id: str = ""
    """The run that asks: what failed in it already is left for the next one."""
    max_failures: int = 3
    all_failures: bool = False
    """Also what lies in the content, and what was given up."""

    @classmethod
    def of(cls, limits: LimitsConfig, run_id: str, *, all_failures: bool = False) -> Retrying:
        """By the limits of a recipe."""
        return cls(run_id, limits.max_failures, all_failures)

    def condition(self, row: str) -> str:
        """SQL that is true of a failed row, or a struct with its facts, that is to be tried again."""
        kind = "true" if self.all_failures else f"not {self.is_final(row)}"
        return f"({row}.run_id is distinct from '{self.run_id}' and {kind})"

    def is_final(self, row: str) -> str:
        """SQL that is true of a failed row that is not tried again by itself."""
        return f"(not coalesce({row}.transient, false) or coalesce({row}.num_failures, 1) >= {self.max_failures})"


def failure_columns(why: str, num_before: int, max_failures: int, *, transient: bool) -> dict[str, Any]:
    """What a failed row says: `failure`, which tells when it is given up, `transient` and `num_failures`.

    Args:
        num_before: how often it had failed before.
    """
    num_failures = num_before + 1
    given_up = transient and num_failures >= max_failures
    text = f"{why} (given up after {num_failures} times)" if given_up else why
    return {"failure": text, "transient": transient, "num_failures": num_failures}


NOT_FAILED = {"failure": None, "transient": None, "num_failures": None}
"""The same columns of a row that did not fail."""
