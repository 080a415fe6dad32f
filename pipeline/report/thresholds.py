"""The thresholds of rules in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.report.axes import number
from schemas.rules import Rule, Threshold


def thresholds_of(rules: Mapping[str, Rule]) -> list[Threshold]:
    """The bounds of rules, in their order."""
    return [threshold for rule in rules.values() for threshold in rule.thresholds]


def label(threshold: Threshold) -> str:
    """What it demands and why, as in `min 0.5 still`."""
    return f"{threshold.bound} {number(threshold.value)} {threshold.reason}"


def condition(threshold: Threshold) -> str:
    """What it rejects, as in `motion_px_s < 0.5`."""
    return f"{threshold.column} {_sign(threshold)} {number(threshold.value)}"


def explain(reason: str, row: Mapping[str, Any], thresholds: Iterable[Threshold]) -> str:
    """A reason with the measurement behind it, as in `too_dark: brightness 0.033 < 0.06`; or the reason alone, as of a
    column that clips do not have (`duplicate_rank`)."""
    for threshold in thresholds:
        if threshold.reason == reason and threshold.rejects(row.get(threshold.column)):
            value = number(row[threshold.column])
            return f"{reason}: {threshold.column} {value} {_sign(threshold)} {number(threshold.value)}"
    return reason


def _sign(threshold: Threshold) -> str:
    return "<" if threshold.bound == "min" else ">"
