"""What rules do: each rule among the others, and a recipe to a whole data set."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.rules.captions import judge_captions
from pipeline.rules.clips import judge_clips
from pipeline.rules.judging import Verdicts
from schemas.recipe import Recipe


@dataclass(frozen=True)
class RuleEffect:
    """What one rule does among the others: rows it rejects, those that no other rejects, and how many stay after it
    and all rules before it."""

    rejects: int
    alone: int
    stay: int


def rule_effects(verdicts: Verdicts) -> dict[str, RuleEffect]:
    """The effect of each rule, in the order of the recipe."""
    columns = [verdicts.rejects(name) for name in verdicts.rules]
    if not columns:
        return {}
    num_against = " + ".join(f"{column}::int" for column in columns)
    counts = [
        f"count(*) filter ({condition})"
        for number, column in enumerate(columns, 1)
        for condition in (column, f"{column} and {num_against} = 1", f"not ({' or '.join(columns[:number])})")
    ]
    found = verdicts.connection.execute(f"select {', '.join(counts)} from {verdicts.table}").fetchall()[0]
    return {name: RuleEffect(*found[3 * number : 3 * number + 3]) for number, name in enumerate(verdicts.rules)}


@dataclass(frozen=True)
class DatasetVerdicts:
    """What a recipe makes of a data set."""

    clips: Verdicts
    captions: Verdicts

    @property
    def num_trainable(self) -> int:
        """Accepted captions of kept clips."""
        query = f"select count(*) from {self.captions.accepted} semi join {self.clips.accepted} using (clip_id)"
        return _number(self.clips.connection, query)


def judge_dataset(connection: duckdb.DuckDBPyConnection, recipe: Recipe) -> DatasetVerdicts:
    """Judge all clips and captions by a recipe; nothing is written."""
    return DatasetVerdicts(judge_clips(connection, recipe), judge_captions(connection, recipe))


def num_only_in(one: Verdicts, other: Verdicts) -> int:
    """Rows that one accepts and the other does not."""
    keys = ", ".join(one.subject.key)
    query = f"select count(*) from {one.accepted} anti join {other.accepted} using ({keys})"
    return _number(one.connection, query)


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return connection.execute(query).fetchall()[0][0]
