"""Judging clips. A measure that a rule needs and that failed fails the clip; one that is not taken leaves it pending.

The rule over `duplicate_rank` comes last, among the clips that all other rules leave: a group of clips that show the
same keeps one of those, whichever of its members were rejected for other reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.groups import ranks
from pipeline.measure.registry import clip_measure_fingerprints, stream_fingerprints
from pipeline.rules.judging import Gaps, Subject, Verdicts, rejections, verdict, verdicts
from pipeline.store.dataset import Dataset
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import CLIPS, DECISIONS
from schemas.recipe import Recipe
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.rules import DUPLICATE_RANK, Rule, reasons_against
from schemas.tables.clips import KEPT
from schemas.tables.measures import CLIP_MEASURES, MEASURE_OF

CLIP_SUBJECT = Subject(
    view="clips",
    key=CLIPS.key,
    accepted=KEPT,
    decisions=DECISIONS,
    settings=lambda recipe: ({name: asdict(rule) for name, rule in recipe.rules.items()}, recipe.duplicates.keep),
)

RankDuplicates = Callable[[Sequence[str]], Mapping[str, int]]
"""From the ids of surviving clips to the place of each that has a surviving duplicate; 0 is the one to keep."""
RANKED_BY = "clip_id, content_box, width, height, duration_s, sharpness"


def judge_clips(dataset: Dataset, recipe: Recipe) -> Verdicts:
    """Judge all clips of a data set by a recipe's rules; nothing is written."""
    connection = connect(dataset)
    fingerprints = stream_fingerprints(recipe.measure) | clip_measure_fingerprints(recipe)
    scored = clips_to_judge(connection, recipe)
    return verdicts_on_clips(scored, recipe.rules, fingerprints, _ranking(connection, recipe.duplicates))


def clips_to_judge(connection: duckdb.DuckDBPyConnection, recipe: Recipe) -> pa.Table:
    """What the rules of a recipe need to know of every clip, in the order of ids."""
    scores = {rule.column for rule in recipe.rules.values()} - {DUPLICATE_RANK.name}
    retrying = Retrying.of(recipe.limits, "")
    taken = [
        sql
        for name in _needed(recipe.rules)
        for sql in (
            f"has_{name}",
            f"failed_{name}.measure as failed_{name}",
            f"failed_{name}.failure as failure_{name}",
            f"{retrying.is_final(f'failed_{name}')} as final_{name}",
        )
    ]
    columns = ", ".join(["clip_id", *sorted(scores), *taken])
    return connection.sql(f"select {columns} from scored order by clip_id").to_arrow_table()


def verdicts_on_clips(
    scored: pa.Table, rules: Mapping[str, Rule], fingerprints: Mapping[str, str], rank_duplicates: RankDuplicates
) -> Verdicts:
    """Judge clips by their stored scores.

    Args:
        scored: as `clips_to_judge` gives them: `clip_id`, the columns of the rules but the rank of duplicates, and for
            each measure M they need `has_M` (the fingerprint it was taken with), and of its last failure `failed_M`
            (the fingerprint that it was to have), `failure_M` (why) and `final_M` (whether it is not tried again).
        fingerprints: of each measure that is on; a score taken otherwise counts as missing.
    """
    gaps = _gaps(scored, rules, fingerprints)
    last = {name: rule for name, rule in rules.items() if rule.column == DUPLICATE_RANK.name}
    rejected_by = rejections(scored, {name: rule for name, rule in rules.items() if name not in last})
    survives = ~np.any([np.zeros(scored.num_rows, bool), *rejected_by.values()], axis=0)
    survives &= np.array([failures is None for failures in gaps.failures], bool)
    clip_ids = scored["clip_id"].to_pylist()
    places = rank_duplicates([clip_id for clip_id, alive in zip(clip_ids, survives, strict=True) if alive])
    of_clips = [places.get(clip_id) if alive else None for clip_id, alive in zip(clip_ids, survives, strict=True)]
    rejected_by |= rejections(pa.table({DUPLICATE_RANK.name: pa.array(of_clips, pa.int32())}), last)
    return verdicts(CLIP_SUBJECT, scored, rules, rejected_by, gaps)


def decide(row: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Status and reasons of one clip just scanned, which has the stream measures and no others."""
    known = {name: rule for name, rule in rules.items() if rule.column in row}
    missing = [MEASURE_OF[rule.column] for rule in rules.values() if MEASURE_OF.get(rule.column) in CLIP_MEASURES]
    status, reasons = verdict(reasons_against(known, row), None, missing, CLIP_SUBJECT.accepted)
    return {"status": status, "reasons": reasons}


def _needed(rules: Mapping[str, Rule]) -> list[str]:
    """The measures that rules need."""
    return list(dict.fromkeys(MEASURE_OF[rule.column] for rule in rules.values() if rule.column in MEASURE_OF))


def _gaps(scored: pa.Table, rules: Mapping[str, Rule], fingerprints: Mapping[str, str]) -> Gaps:
    failures: list[list[str] | None] = [None] * scored.num_rows
    missing: list[list[str]] = [[] for _ in range(scored.num_rows)]
    for name in _needed(rules):
        facts = (scored[f"{kind}_{name}"].to_pylist() for kind in ("has", "failed", "failure", "final"))
        for i, (fingerprint, tried, failure, is_final) in enumerate(zip(*facts, strict=True)):
            if fingerprint == fingerprints[name]:
                continue
            if tried == fingerprints[name] and is_final:
                failures[i] = [*(failures[i] or []), f"{name}: {failure}"]
            else:
                missing[i].append(name)
    return Gaps(failures, missing)


def _ranking(connection: duckdb.DuckDBPyConnection, config: DuplicatesConfig) -> RankDuplicates:
    """Ranks clips by the groups of duplicates in the tables."""
    groups = connection.sql(
        "select clip_id, group_id from duplicates where kind in (select unnest(?))", params=[list(config.kinds)]
    )
    memberships = groups.to_arrow_table().to_pylist()
    sizes = connection.sql(f"select {RANKED_BY} from clips where clip_id in (select clip_id from duplicates)")
    clips = sizes.to_arrow_table().to_pylist()
    return lambda survivors: ranks(memberships, clips, survivors, config.keep)
