"""Judging clips. A measure that a rule needs and that failed fails the clip; one that is not taken leaves it pending.

The rule over `duplicate_rank` comes last, among the clips that all other rules leave: a group of clips that show the
same keeps one of those, whichever of its members were rejected for other reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import duckdb

from pipeline.dedup.groups import PREFERENCE_VALUES, rank_survivors
from pipeline.measure.registry import clip_measure_fingerprints, stream_fingerprints
from pipeline.rules.judging import Subject, Verdicts, rejections, some, verdicts
from pipeline.store.portions import gather
from pipeline.store.retrying import Retrying
from schemas import CLIPS, DECISIONS
from schemas.recipe import Recipe
from schemas.rules import DUPLICATE_RANK, Rule
from schemas.tables.clips import KEPT
from schemas.tables.measures import MEASURE_OF

CLIP_SUBJECT = Subject(
    view="clips",
    key=CLIPS.key,
    accepted=KEPT,
    decisions=DECISIONS,
    settings=lambda recipe: ({name: asdict(rule) for name, rule in recipe.rules.items()}, recipe.duplicates.keep),
)


def judge_clips(connection: duckdb.DuckDBPyConnection, recipe: Recipe) -> Verdicts:
    """Judge all clips of a data set by a recipe's rules; nothing is written.

    Args:
        connection: has the views `scored` and `duplicates`.
    """
    last = {name for name, rule in recipe.rules.items() if rule.column == DUPLICATE_RANK.name}
    columns = rejections(recipe.rules)
    first_columns, last_columns = {}, {}
    for (column, sql), name in zip(columns.items(), recipe.rules, strict=True):
        (last_columns if name in last else first_columns)[column] = sql
    first = [f"{sql} as {column}" for column, sql in (first_columns | PREFERENCE_VALUES).items()]
    query = f"""
        select {", ".join(["clip_id", *first])}, status as old_status, reasons as old_reasons,
               {_gaps(recipe)}
        from scored
        """
    gather(connection, "judged_first", query)
    out = " or ".join(["len(failures) > 0", *first_columns])
    ranks = rank_survivors(connection, f"select * from judged_first where not ({out})", recipe.duplicates)
    known = f"* exclude ({', '.join(PREFERENCE_VALUES)})"
    judged = ", ".join([known, *(f"{sql} as {column}" for column, sql in last_columns.items())])
    judged = f"select {judged} from judged_first left join {ranks} using (clip_id)"
    return verdicts(connection, CLIP_SUBJECT, recipe.rules, judged)


def _gaps(recipe: Recipe) -> str:
    """SQL of the measures that rules need and a clip lacks: those that failed, in `failures`, and others in `missing`.

    A score that was taken otherwise than is wanted now is missing.
    """
    wanted = stream_fingerprints(recipe.measure) | clip_measure_fingerprints(recipe)
    retrying = Retrying.of(recipe.limits, "")
    failures, missing = [], []
    for name in _needed(recipe.rules):
        lacks = f"has_{name} is distinct from '{wanted[name]}'"
        is_final = retrying.is_final(f"failed_{name}")
        gave_up = f"coalesce(failed_{name}.measure = '{wanted[name]}' and {is_final}, false)"
        failures.append((f"'{name}: ' || failed_{name}.failure", f"{lacks} and {gave_up}"))
        missing.append((f"'{name}'", f"{lacks} and not {gave_up}"))
    return f"{some(failures)} as failures, {some(missing)} as missing"


def _needed(rules: Mapping[str, Rule]) -> list[str]:
    """The measures that rules need."""
    return list(dict.fromkeys(MEASURE_OF[rule.column] for rule in rules.values() if rule.column in MEASURE_OF))
