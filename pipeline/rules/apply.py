"""Judging: scores in, decisions out, by the rules of a recipe. No video is touched and no model asked.

A clip is `rejected` for every reason that applies; else `failed` if a measure that some rule needs could not be taken;
else `pending` if one has not been taken yet; else `kept`. So what was never measured is never passed.

The rule over `duplicate_rank` comes last, among the clips that all other rules leave: a group of clips that show the
same keeps one of those, whichever of its members were rejected for other reasons.

A caption is judged by its own scores alone; one that failed has no text that could be accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.rules import Rule, reasons_against
from schemas.tables import captions
from schemas.tables.clips import FAILED, KEPT, PENDING, REJECTED
from schemas.tables.judged import DUPLICATE_RANK
from schemas.tables.measures import CLIP_MEASURES, MEASURE_OF

RankDuplicates = Callable[[Sequence[str]], Mapping[str, int]]
"""From the ids of surviving clips to the place of each that has a surviving double; 0 is the one to keep."""


@dataclass(frozen=True)
class Outcomes:
    """What the rules make of rows, in the order of the table judged."""

    statuses: list[str]
    reasons: list[list[str]]
    rejected_by: dict[str, np.ndarray]
    """For each rule, by its name in the recipe, which rows it rejects, (N,) bool."""


@dataclass(frozen=True)
class Verdicts(Outcomes):
    """What the rules make of clips."""

    clip_ids: list[str]

    def of_status(self, status: str) -> set[str]:
        return {clip_id for clip_id, found in zip(self.clip_ids, self.statuses, strict=True) if found == status}


@dataclass(frozen=True)
class CaptionVerdicts(Outcomes):
    """What the rules make of captions."""

    keys: list[tuple[str, str]]
    """Clip and captioner of each."""

    @property
    def accepted(self) -> set[tuple[str, str]]:
        return {key for key, status in zip(self.keys, self.statuses, strict=True) if status == captions.OK}


def decide(row: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Status and reasons of one clip just scanned, which has the measures of the decode pass and no others."""
    known = {name: rule for name, rule in rules.items() if rule.column in row}
    missing = [MEASURE_OF[rule.column] for rule in rules.values() if MEASURE_OF.get(rule.column) in CLIP_MEASURES]
    status, reasons = _verdict(reasons_against(known, row), [], missing)
    return {"status": status, "reasons": reasons}


def judge(
    scored: pa.Table, rules: Mapping[str, Rule], wanted: Mapping[str, str], rank_duplicates: RankDuplicates
) -> Verdicts:
    """Judge clips by their stored scores.

    Args:
        scored: rows of the view `scored`: the columns of `JUDGED` but the rank, and for each measure M `has_M` (the
            fingerprint it was taken with) and `failure_M`.
        wanted: the fingerprint of each measure that is on; a score taken otherwise counts as missing.
    """
    clip_ids = scored["clip_id"].to_pylist()
    failures, missing = _gaps(scored, rules, wanted)
    rejected_by = {
        name: rule.rejected(scored[rule.column]) for name, rule in rules.items() if rule.column != DUPLICATE_RANK.name
    }
    survives = ~np.any([np.zeros(len(clip_ids), bool), *rejected_by.values()], axis=0)
    survives &= np.array([not failure for failure in failures], bool)
    ranks = rank_duplicates([clip_id for clip_id, alive in zip(clip_ids, survives, strict=True) if alive])
    places = [ranks.get(clip_id) if alive else None for clip_id, alive in zip(clip_ids, survives, strict=True)]
    for name, rule in rules.items():
        if rule.column == DUPLICATE_RANK.name:
            rejected_by[name] = rule.rejected(pa.array(places, pa.int32()))
    rejected_by = {name: rejected_by[name] for name in rules}
    statuses, reasons = [], []
    for i in range(len(clip_ids)):
        against = [rule.reason for name, rule in rules.items() if rejected_by[name][i]]
        status, why = _verdict(list(dict.fromkeys(against)), failures[i], missing[i])
        statuses.append(status)
        reasons.append(why)
    return Verdicts(statuses, reasons, rejected_by, clip_ids)


def judge_captions(written: pa.Table, rules: Mapping[str, Rule]) -> CaptionVerdicts:
    """Judge captions by their stored scores.

    Args:
        written: rows of `captions`: key, status and reasons, and the columns that the rules look at.
    """
    failed = np.array([status == captions.FAILED for status in written["status"].to_pylist()], bool)
    rejected_by = {name: rule.rejected(written[rule.column]) & ~failed for name, rule in rules.items()}
    first_reasons = written["reasons"].to_pylist()
    statuses, reasons = [], []
    for i in range(written.num_rows):
        against = [rule.reason for name, rule in rules.items() if rejected_by[name][i]]
        statuses.append(captions.FAILED if failed[i] else captions.REJECTED if against else captions.OK)
        reasons.append(first_reasons[i] if failed[i] else list(dict.fromkeys(against)))
    keys = list(zip(written["clip_id"].to_pylist(), written["captioner"].to_pylist(), strict=True))
    return CaptionVerdicts(statuses, reasons, rejected_by, keys)


@dataclass(frozen=True)
class RuleEffect:
    """What one rule does among the others: rows it rejects, those that no other rejects, and how many stay after it
    and all rules before it."""

    rejects: int
    alone: int
    stay: int


def rule_effects(outcomes: Outcomes) -> dict[str, RuleEffect]:
    """The effect of each rule, in the order of the recipe."""
    num_rows = len(outcomes.statuses)
    num_against = np.sum([np.zeros(num_rows, int), *outcomes.rejected_by.values()], axis=0)
    inside = np.ones(num_rows, bool)
    effects = {}
    for name, rejected in outcomes.rejected_by.items():
        inside &= ~rejected
        alone = int((rejected & (num_against == 1)).sum())
        effects[name] = RuleEffect(int(rejected.sum()), alone, int(inside.sum()))
    return effects


def _verdict(against: list[str], failures: Sequence[str], missing: Sequence[str]) -> tuple[str, list[str]]:
    if against:
        return REJECTED, against
    if failures:
        return FAILED, list(failures)
    if missing:
        return PENDING, [f"unmeasured: {name}" for name in dict.fromkeys(missing)]
    return KEPT, []


def _gaps(
    scored: pa.Table, rules: Mapping[str, Rule], wanted: Mapping[str, str]
) -> tuple[list[list[str]], list[list[str]]]:
    """For each clip, the failures of the measures that rules need, and those not taken as wanted."""
    failures: list[list[str]] = [[] for _ in range(scored.num_rows)]
    missing: list[list[str]] = [[] for _ in range(scored.num_rows)]
    needed = dict.fromkeys(MEASURE_OF[rule.column] for rule in rules.values() if rule.column in MEASURE_OF)
    for name in needed:
        taken = scored[f"has_{name}"].to_pylist()
        failed = scored[f"failure_{name}"].to_pylist()
        for i, (fingerprint, failure) in enumerate(zip(taken, failed, strict=True)):
            if fingerprint != wanted[name]:
                missing[i].append(name)
            elif failure is not None:
                failures[i].append(f"{name}: {failure}")
    return failures, missing
