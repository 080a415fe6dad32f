"""Decisions over the captions of a data set: judge all by their stored scores, and write what has changed.

Captions of all captioners are judged by the same rules; a caption newly let in was never merged with its source's text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict

from pipeline.rules.apply import CaptionVerdicts, judge_captions
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CAPTION_DECISIONS, CAPTIONS
from schemas.identity import digest
from schemas.rules import Rule


def judge_dataset_captions(dataset: Dataset, rules: Mapping[str, Rule]) -> CaptionVerdicts:
    """Judge all captions by a recipe's caption rules; nothing is written."""
    columns = dict.fromkeys([*CAPTIONS.key, "status", "reasons", *(rule.column for rule in rules.values())])
    return judge_captions(connect(dataset).sql(f"select {', '.join(columns)} from captions").to_arrow_table(), rules)


def write_caption_decisions(dataset: Dataset, verdicts: CaptionVerdicts, rules: Mapping[str, Rule]) -> int:
    """Write the decisions that differ from those that stand; returns how many."""
    standing = connect(dataset).sql("select clip_id, captioner, status, reasons from captions").to_arrow_table()
    before = {CAPTIONS.key_of(row): (row["status"], row["reasons"]) for row in standing.to_pylist()}
    rules_fingerprint = digest("caption rules", {name: asdict(rule) for name, rule in rules.items()})
    now_us = time.time_ns() // 1000
    rows = [
        {**dict(zip(CAPTIONS.key, key, strict=True)), "rules_fingerprint": rules_fingerprint, "decided_us": now_us}
        | {"status": status, "reasons": reasons}
        for key, status, reasons in zip(verdicts.keys, verdicts.statuses, verdicts.reasons, strict=True)
        if before[key] != (status, reasons)
    ]
    dataset.write_part(CAPTION_DECISIONS, rows)
    return len(rows)
