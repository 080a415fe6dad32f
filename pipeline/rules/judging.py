"""Judging: what the rules of a recipe make of rows of stored scores, whether those are of clips or of captions.

A row is `rejected` for every reason that applies; else `failed` if a score that some rule needs could not be taken;
else `pending` if one is not there yet; else accepted. So what was never measured is never accepted.

Clips and captions differ in their tables and keys, and in what counts as a failure: `clips.py` and `captions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from schemas.columns import Table
from schemas.recipe import Recipe
from schemas.rules import Rule
from schemas.tables.clips import FAILED, PENDING, REJECTED


@dataclass(frozen=True)
class Subject:
    """What is judged. Its view has `key`, `status` and `reasons`, the newest decision applied."""

    view: str
    key: tuple[str, ...]
    accepted: str
    """The status of a row that is neither rejected, nor failed, nor pending."""
    decisions: Table
    """Where decisions are written that differ from those before."""
    settings: Callable[[Recipe], tuple[object, ...]]
    """What decisions depend on beside the scores."""


@dataclass(frozen=True)
class Gaps:
    """What rules need and rows do not have: for each row why it failed (None if it did not), and what is missing."""

    failures: Sequence[list[str] | None]
    missing: Sequence[list[str]]


@dataclass(frozen=True)
class Verdicts:
    """What the rules make of rows, in the order of the table judged."""

    subject: Subject
    keys: list[tuple[str, ...]]
    statuses: list[str]
    reasons: list[list[str]]
    rejected_by: dict[str, np.ndarray]
    """For each rule, by its name in the recipe, which rows it rejects, (N,) bool."""

    @cached_property
    def clip_ids(self) -> list[str]:
        """The clip of each row."""
        return [clip_id for clip_id, *_ in self.keys]

    def of_status(self, status: str) -> set[tuple[str, ...]]:
        return {key for key, found in zip(self.keys, self.statuses, strict=True) if found == status}

    @property
    def accepted(self) -> set[tuple[str, ...]]:
        return self.of_status(self.subject.accepted)


def rejections(rows: pa.Table, rules: Mapping[str, Rule]) -> dict[str, np.ndarray]:
    """Which rows each rule rejects, (N,) bool."""
    return {name: rule.rejected(rows[rule.column]) for name, rule in rules.items()}


def verdicts(
    subject: Subject, rows: pa.Table, rules: Mapping[str, Rule], rejected_by: Mapping[str, np.ndarray], gaps: Gaps
) -> Verdicts:
    """Status and reasons of each row.

    Args:
        rows: the columns of the subject's key.
        rejected_by: for each rule which rows it rejects, (N,) bool.
    """
    statuses, reasons = [], []
    for i in range(rows.num_rows):
        against = [rule.reason for name, rule in rules.items() if rejected_by[name][i]]
        status, why = verdict(list(dict.fromkeys(against)), gaps.failures[i], gaps.missing[i], subject.accepted)
        statuses.append(status)
        reasons.append(why)
    keys = list(zip(*(rows[name].to_pylist() for name in subject.key), strict=True))
    return Verdicts(subject, keys, statuses, reasons, {name: rejected_by[name] for name in rules})


def verdict(
    against: list[str], failures: list[str] | None, missing: Sequence[str], accepted: str
) -> tuple[str, list[str]]:
    """Status and reasons of one row."""
    if against:
        return REJECTED, against
    if failures is not None:
        return FAILED, failures
    if missing:
        return PENDING, [f"unmeasured: {name}" for name in dict.fromkeys(missing)]
    return accepted, []
