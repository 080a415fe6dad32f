"""Judging captions, each by its own scores. One that failed has no text, so no rule applies to it and it stays failed.

Captions of all captioners are judged by the same rules; a caption newly let in was never merged with its source's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from pipeline.rules.judging import Gaps, Subject, Verdicts, rejections, verdicts
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CAPTION_DECISIONS, CAPTIONS
from schemas.recipe import Recipe
from schemas.rules import Rule
from schemas.tables.captions import FAILED, OK

CAPTION_SUBJECT = Subject(
    view="captions",
    key=CAPTIONS.key,
    accepted=OK,
    decisions=CAPTION_DECISIONS,
    settings=lambda recipe: ({name: asdict(rule) for name, rule in recipe.caption_rules.items()},),
)


def judge_captions(dataset: Dataset, recipe: Recipe) -> Verdicts:
    """Judge all captions of a data set by a recipe's caption rules; nothing is written."""
    rules = recipe.caption_rules
    columns = dict.fromkeys([*CAPTIONS.key, "status", "reasons", *(rule.column for rule in rules.values())])
    written = connect(dataset).sql(f"select {', '.join(columns)} from captions").to_arrow_table()
    return verdicts_on_captions(written, rules)


def verdicts_on_captions(written: pa.Table, rules: Mapping[str, Rule]) -> Verdicts:
    """Judge captions by their stored scores.

    Args:
        written: rows of `captions`: key, status and reasons, and the columns of the rules.
    """
    statuses, reasons = written["status"].to_pylist(), written["reasons"].to_pylist()
    failed = np.array([status == FAILED for status in statuses], bool)
    rejected_by = {name: rejected & ~failed for name, rejected in rejections(written, rules).items()}
    failures = [why if status == FAILED else None for status, why in zip(statuses, reasons, strict=True)]
    return verdicts(CAPTION_SUBJECT, written, rules, rejected_by, Gaps(failures, [[]] * written.num_rows))
