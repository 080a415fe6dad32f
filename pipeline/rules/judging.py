"""Judging: what the rules of a recipe make of rows of stored scores, whether those are of clips or of captions.

A row is `rejected` for every reason that applies; else `failed` if a score that some rule needs could not be taken;
else `pending` if one is not there yet; else accepted. So what was never measured is never accepted.

DuckDB judges, and its verdicts are a table in a connection: nothing of the rows comes into Python. Clips and captions
differ in their tables and keys, and in what counts as a failure: `clips.py` and `captions.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import duckdb

from schemas.columns import Table
from schemas.recipe import Recipe
from schemas.rules import Rule
from schemas.tables.clips import FAILED, PENDING, REJECTED

_numbers = itertools.count()


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
class Verdicts:
    """What the rules make of rows: a table of the connection with the key of the subject, `status`, `reasons`, those
    that the newest decision gives, `old_status` and `old_reasons`, and for each rule, by its place in the recipe,
    `rejects_0`, `rejects_1` and so on."""

    subject: Subject
    rules: Mapping[str, Rule]
    connection: duckdb.DuckDBPyConnection
    table: str

    @property
    def num_rows(self) -> int:
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each status that some have."""
        return dict(self.connection.execute(f"select status, count(*) from {self.table} group by 1").fetchall())

    @property
    def num_judged_otherwise(self) -> int:
        """Rows that had a decision and have another one now."""
        changed = f"old_status <> '{PENDING}' and (status, reasons) is distinct from (old_status, old_reasons)"
        query = f"select count(*) from {self.table} where {changed}"
        return self.connection.execute(query).fetchall()[0][0]

    @property
    def accepted(self) -> str:
        """Query for the keys of the rows that are accepted."""
        keys = ", ".join(self.subject.key)
        return f"(select {keys} from {self.table} where status = '{self.subject.accepted}')"

    def rejects(self, name: str) -> str:
        """The column that says whether a rule rejects the row."""
        return f"rejects_{list(self.rules).index(name)}"


def some(conditions: Mapping[str, str] | list[tuple[str, str]]) -> str:
    """SQL of the list of those values, as SQL, whose condition is true, in order."""
    pairs = conditions.items() if isinstance(conditions, Mapping) else conditions
    chosen = ", ".join(f"if({condition}, {value}, null)" for value, condition in pairs)
    return f"list_filter([{chosen}]::varchar[], lambda value: value is not null)"


def verdicts(
    connection: duckdb.DuckDBPyConnection, subject: Subject, rules: Mapping[str, Rule], judged: str
) -> Verdicts:
    """Status and reasons of each row.

    Args:
        judged: query for the key; a column `rejects_N` for each rule; `failures`, why scores that rules need could not
            be taken; `missing`, what of them is not there yet; and `old_status` and `old_reasons`, of its view.
    """
    reasons: dict[str, list[str]] = {}
    for number, rule in enumerate(rules.values()):
        reasons.setdefault(_quoted(rule.reason), []).append(f"rejects_{number}")
    against = some({reason: " or ".join(columns) for reason, columns in reasons.items()})
    table = f"verdicts_{next(_numbers)}"
    connection.execute(
        f"""
        create temp table {table} as
        select * exclude (failures, missing, against),
               case when len(against) > 0 then '{REJECTED}' when len(failures) > 0 then '{FAILED}'
                    when len(missing) > 0 then '{PENDING}' else '{subject.accepted}' end as status,
               case status when '{REJECTED}' then against when '{FAILED}' then failures
                    when '{PENDING}' then list_transform(missing, lambda name: 'unmeasured: ' || name)
                    else [] end::varchar[] as reasons
        from (select *, {against} as against from ({judged}))
        """
    )
    return Verdicts(subject, rules, connection, table)


def rejections(rules: Mapping[str, Rule]) -> dict[str, str]:
    """SQL of the columns `rejects_N`."""
    return {f"rejects_{number}": rule.rejects_sql for number, rule in enumerate(rules.values())}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
