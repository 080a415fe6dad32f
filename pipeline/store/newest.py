"""Which rows of a table count: SQL of the newest row of each key, and which others queries read beside it.

Rows are only ever added, so a file that is read again or a second attempt has a newer row of the same key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from schemas import MEASURES
from schemas.tables.clips import FAILED

STAMPS = ("run_id", "written_us")
NEWEST_FIRST = "written_us desc nulls last, run_id desc"
NEWNESS = "(coalesce(written_us, 0), coalesce(run_id, ''))"
OF_ROW = {
    "clips": ("clip_id", "split"),
    "decisions": ("clip_id",),
    "caption_decisions": ("clip_id", "captioner"),
}
"""What the newest row is of, where that is not the key. A span that a video has in two divisions has a row of each:
while the video's row says the old one, that stands, whatever a killed run has written of the new one."""
FIRST = {"videos": "coalesce(transient, false),", "latents": f"status = '{FAILED}' and coalesce(transient, false),"}
"""What comes before newness: a file that could be read once is not unknown because it cannot be read now, and a latent
not lost because a replayed task could not make it again."""
APART: Mapping[str, Mapping[str, str]] = {
    # `FIRST`; the failures of an input are counted on; bytes that were there before are known if a file has them again,
    # by their division; and a clip stands only if its video has had a row that is not of a copy.
    "videos": {
        "status": "status",
        "transient": "coalesce(transient, false)",
        "video_id": "video_id",
        "split": "split",
        "duplicate_of": "duplicate_of is null",
    },
    # Training reads those that are ok, whatever failed later.
    "latents": {"status": "status", "transient": "coalesce(transient, false)"},
    # `STANDING_CAPTIONS`.
    "captions": {
        "failure": "failure is null",
        "transient": "coalesce(transient, false)",
        "shown_box": "shown_box::int[]",
        "given": "given",
    },
} | {
    # The newest values that could be taken, and how the newest try went.
    f"measures_{name}": {"failure": "failure is null"}
    for name in MEASURES
}
"""Of which rows the newest is read too: those of one row of the view, by `OF_ROW` or the key, that have the same value
of each of these expressions of a column. A new query that takes the newest row of another kind from NAME_raw adds to
it, or compaction (`superseded.py`) takes its rows away."""
FAILURE_FACTS = ("measure", "shown_box", "failure", "transient", "num_failures", "run_id")
STANDING_CAPTIONS = """
with fails_for_now as (select * from newest_captions where failure is not null and coalesce(transient, false))
select * from newest_captions anti join fails_for_now using (clip_id, captioner)
union all
select r.* from (
    select r.* from captions_raw r semi join fails_for_now using (clip_id, captioner)
) r join fails_for_now f on f.clip_id = r.clip_id and f.captioner = r.captioner
    and f.shown_box is not distinct from r.shown_box and f.given is not distinct from r.given
qualify row_number() over (
    partition by r.clip_id, r.captioner
    order by r.failure is not null and coalesce(r.transient, false), r.written_us desc nulls last, r.run_id desc
) = 1"""
"""The newest caption of each clip and captioner. One that could not be made again for now gives way to the newest
that could be, of the same frames and hints: the captioner would say the same."""


def newest(table: str, key: Sequence[str], first: str = "") -> str:
    """Query for the newest row of each key."""
    once, repeated = by_repetition(table, key)
    newest = f"qualify row_number() over (partition by {', '.join(key)} order by {first} {NEWEST_FIRST}) = 1"
    return f"{once} union all {repeated} {newest}"


def by_repetition(table: str, key: Sequence[str], once: str = "*", repeated: str = "*") -> tuple[str, str]:
    """Queries for the rows whose key is in one row only, and for the others.

    Nearly all keys are in one row: those rows stream through, and only the others are sorted or aggregated.
    """
    keys = ", ".join(key)
    several = f"(select {keys} from {table} group by {keys} having count(*) > 1) s"
    equal = " and ".join(f"s.{name} is not distinct from r.{name}" for name in key)
    return (
        f"select {once} from {table} r anti join {several} on {equal}",
        f"select {repeated} from {table} r semi join {several} on {equal}",
    )


def newest_measured(measure: str, own: Sequence[str]) -> str:
    """For each clip the newest values that could be taken, `good`, and how the newest try went, `tried`.

    Lists of fixed length become plain lists: DuckDB 2.0 cannot pass arrays through an outer join.
    """
    arrays = {field.name for field in MEASURES[measure].schema if pa.types.is_fixed_size_list(field.type)}
    good = _struct(
        [f"{name}::int[]" if name in arrays else name for name in (*own, "measure", "shown_box", "written_us")]
    )
    tried = _struct(FAILURE_FACTS)
    once, repeated = by_repetition(
        f"measures_{measure}_raw",
        ["clip_id"],
        f"clip_id, {tried} as tried, if(failure is null, {good}, null) as good",
        f"clip_id, arg_max({tried}, {NEWNESS}) as tried, "
        f"arg_max({good}, {NEWNESS}) filter (where failure is null) as good",
    )
    return f"{once} union all {repeated} group by clip_id"


def _struct(values: Sequence[str]) -> str:
    return f"{{{', '.join(f'{value.partition(chr(58))[0]!r}: {value}' for value in values)}}}"
