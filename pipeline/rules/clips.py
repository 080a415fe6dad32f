"""Decisions over a whole data set: judge every clip by its stored scores, and write what has changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pyarrow as pa

from pipeline.dedup.groups import ranks
from pipeline.measure.clip.run import clip_measure_fingerprints
from pipeline.measure.registry import stream_fingerprints
from pipeline.rules.apply import Verdicts, judge
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import DECISIONS
from schemas.identity import digest
from schemas.recipe import Recipe
from schemas.tables.judged import DUPLICATE_RANK
from schemas.tables.measures import MEASURES


def judge_dataset(dataset: Dataset, recipe: Recipe) -> Verdicts:
    """Judge all clips by a recipe's rules; nothing is written."""
    connection = connect(dataset)
    used = {rule.column for rule in recipe.rules.values()} - {DUPLICATE_RANK.name}
    marks = [mark for name in MEASURES for mark in (f"has_{name}", f"failure_{name}")]
    columns = ", ".join(["clip_id", *sorted(used), *marks])
    scored = connection.sql(f"select {columns} from scored order by clip_id").to_arrow_table()
    wanted = wanted_fingerprints(recipe)
    kinds = list(recipe.duplicates.kinds)
    groups = connection.sql("select clip_id, group_id from duplicates where kind in (select unnest(?))", params=[kinds])
    memberships = groups.to_arrow_table().to_pylist()
    sizes = connection.sql(f"select {RANKED_BY} from clips where clip_id in (select clip_id from duplicates)")
    clips = sizes.to_arrow_table().to_pylist()

    def rank(survivors: Sequence[str]) -> Mapping[str, int]:
        return ranks(memberships, clips, survivors, recipe.duplicates.keep)

    return judge(scored, recipe.rules, wanted, rank)


RANKED_BY = "clip_id, content_box, width, height, duration_s, sharpness"


def wanted_fingerprints(recipe: Recipe) -> dict[str, str]:
    """The fingerprint that each measure which is on must have been taken with."""
    return stream_fingerprints(recipe.measure) | clip_measure_fingerprints(recipe)


def rules_fingerprint(recipe: Recipe) -> str:
    """What a decision depends on beside the scores."""
    return digest("rules", {name: asdict(rule) for name, rule in recipe.rules.items()}, recipe.duplicates.keep)


def write_decisions(dataset: Dataset, verdicts: Verdicts, recipe: Recipe) -> int:
    """Write the decisions that differ from those that stand; returns how many."""
    standing: pa.Table = connect(dataset).sql("select clip_id, status, reasons from clips").to_arrow_table()
    before = {row["clip_id"]: (row["status"], row["reasons"]) for row in standing.to_pylist()}
    fingerprint, now_us = rules_fingerprint(recipe), time.time_ns() // 1000
    rows = [
        {
            "clip_id": clip_id,
            "rules_fingerprint": fingerprint,
            "decided_us": now_us,
            "status": status,
            "reasons": reasons,
        }
        for clip_id, status, reasons in zip(verdicts.clip_ids, verdicts.statuses, verdicts.reasons, strict=True)
        if before[clip_id] != (status, reasons)
    ]
    dataset.write_part(DECISIONS, rows)
    return len(rows)
