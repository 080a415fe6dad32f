"""The thresholds of a data set's active recipe, as its newest run recorded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.report.axes import number


@dataclass(frozen=True)
class Threshold:
    """One bound of a rule: values below a `min` or above a `max` are rejected."""

    column: str
    bound: Literal["min", "max"]
    value: float
    reason: str
    source: str

    def rejects(self, value: float | None) -> bool:
        if value is None:
            return False
        return value < self.value if self.bound == "min" else value > self.value

    @property
    def label(self) -> str:
        return f"{self.bound} {number(self.value)} {self.reason}"

    @property
    def condition(self) -> str:
        """Which values it rejects, as in `motion_px_s < 0.5`."""
        return f"{self.column} {'<' if self.bound == 'min' else '>'} {number(self.value)}"


def thresholds_in(recipe: Mapping[str, Any], section: Literal["rules", "caption_rules"]) -> list[Threshold]:
    """The bounds of a recipe's rules, in the order of the recipe."""
    return [
        Threshold(rule["column"], bound, rule[bound], rule["reason"], rule["source"])
        for rule in recipe.get(section, {}).values()
        for bound in ("min", "max")
        if rule[bound] is not None
    ]


def explain(reason: str, row: Mapping[str, Any], thresholds: Iterable[Threshold]) -> str:
    """A reason with its measured value, as in `too_dark: brightness 0.033 < 0.06`; the reason alone where no value of
    the row explains it, as for duplicates."""
    for threshold in thresholds:
        if threshold.reason == reason and threshold.rejects(row.get(threshold.column)):
            sign = "<" if threshold.bound == "min" else ">"
            value = number(row[threshold.column])
            return f"{reason}: {threshold.column} {value} {sign} {number(threshold.value)}"
    return reason
