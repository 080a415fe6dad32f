"""Judging captions by their scores of now. One that failed has no text, so no rule applies to it and it stays failed.

Captions of all captioners are judged by the same rules; a caption newly let in was never merged with its source's text.
"""

from __future__ import annotations

from dataclasses import asdict

import duckdb

from pipeline.rules.judging import Subject, Verdicts, rejections, verdicts
from pipeline.store.portions import gather
from schemas import CAPTION_DECISIONS, CAPTIONS
from schemas.recipe import Recipe
from schemas.tables.captions import FAILED, OK

CAPTION_SUBJECT = Subject(
    view="captions",
    key=CAPTIONS.key,
    accepted=OK,
    decisions=CAPTION_DECISIONS,
    settings=lambda recipe: ({name: asdict(rule) for name, rule in recipe.caption_rules.items()},),
)


def judge_captions(connection: duckdb.DuckDBPyConnection, recipe: Recipe) -> Verdicts:
    """Judge all captions of a data set by a recipe's caption rules; nothing is written.

    Args:
        connection: has the view `captions`.
    """
    rules, keys = recipe.caption_rules, ", ".join(CAPTION_SUBJECT.key)
    rejected = [f"status <> '{FAILED}' and {sql} as {column}" for column, sql in rejections(rules).items()]
    judged = f"""
        select {", ".join([keys, *rejected])}, status as old_status, reasons as old_reasons,
               if(status = '{FAILED}', reasons, []) as failures, []::varchar[] as missing
        from captions"""
    gather(connection, "judged_captions", judged)
    return verdicts(connection, CAPTION_SUBJECT, rules, "from judged_captions")
