"""Captions side by side: of two captioners over a data set, or of two releases; and what each captioner comes to.

The text shown is the one that training reads: merged with the source's own text where that was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.release.diff import Differences
from pipeline.report.clocks import span_text
from pipeline.report.galleries import evenly, spread
from pipeline.report.pictures import Picture, Shelf
from pipeline.report.word_marks import Piece, mark_words
from schemas.tables.captions import FAILED, OK, REJECTED

TEXT = "coalesce(merged, detailed)"
SAID = ("captioner", "short", "medium", "detailed")
"""Columns of a release that make a caption another one."""


@dataclass(frozen=True)
class Side:
    """A caption beside another; score and verdict are null where the tables have lost its row."""

    captioner: str
    captioner_name: str | None
    short: Sequence[Piece]
    detailed: Sequence[Piece]
    num_words: int
    text_video_similarity: float | None
    status: str | None
    reasons: Sequence[str]


@dataclass(frozen=True)
class CaptionPair:
    """A clip with two captions."""

    clip: Mapping[str, Any]
    picture: Picture
    place: str
    sides: tuple[Side, Side]


@dataclass(frozen=True)
class Pairs:
    """Captions side by side; `total` counts those that are not shown too."""

    names: tuple[str, str] | None
    """What the sides are called, if not by their captioners."""
    shown: Sequence[CaptionPair]
    total: int


@dataclass(frozen=True)
class CaptionerSummary:
    """What a captioner comes to over clips: those of a release, or all that it captioned. Means are null where there is
    nothing to take them of."""

    captioner: str
    captioner_name: str | None
    num_clips: int
    mean_words: float | None
    mean_similarity: float | None
    num_ok: int
    """Of all its captions, whatever release they are in."""
    num_rejected: int
    num_failed: int
    release: str = ""


SUMMARIES = rf"""
    select captioner, any_value(captioner_name) as captioner_name, count(*) as num_clips,
           avg(len(string_split_regex(trim({TEXT}), '\s+'))) as mean_words,
           avg(text_video_similarity) as mean_similarity,
           count(*) filter (where status = '{OK}') as num_ok,
           count(*) filter (where status = '{REJECTED}') as num_rejected,
           count(*) filter (where status = '{FAILED}') as num_failed
    from captions group by captioner order by max(captioned_us), captioner
"""
OF_RELEASE = r"""
    select captioner, any_value(a.captioner_name) as captioner_name, count(*) as num_clips,
           avg(len(string_split_regex(trim(r.detailed), '\s+'))) as mean_words,
           avg(c.text_video_similarity) as mean_similarity,
           coalesce(any_value(num_ok), 0) as num_ok, coalesce(any_value(num_rejected), 0) as num_rejected,
           coalesce(any_value(num_failed), 0) as num_failed
    from release_clips r left join captions c using (clip_id, captioner) left join captioners a using (captioner)
    group by captioner order by num_clips desc, captioner
"""


def captioner_summaries(connection: duckdb.DuckDBPyConnection) -> list[CaptionerSummary]:
    """Every captioner of a data set, the one that wrote last at the end."""
    return [CaptionerSummary(**row) for row in connection.sql(SUMMARIES).to_arrow_table().to_pylist()]


def release_summaries(connection: duckdb.DuckDBPyConnection, found: Differences) -> list[CaptionerSummary]:
    """The captioners of two releases over the clips of each, most clips first."""
    connection.register("captioners", connection.sql(SUMMARIES).to_arrow_table())
    summaries = []
    for release in (found.old, found.new):
        connection.register("release_clips", release.clips)
        rows = connection.sql(OF_RELEASE).to_arrow_table().to_pylist()
        summaries += [CaptionerSummary(**row, release=release.name) for row in rows]
    return summaries


def captioner_pairs(
    connection: duckdb.DuckDBPyConnection, captioners: Sequence[CaptionerSummary], limit: int, shelf: Shelf
) -> Pairs | None:
    """Clips that the two captioners which wrote last describe in other words; None if there are no two.

    Args:
        captioners: as `captioner_summaries` gives them.
    """
    if len(captioners) < 2:
        return None
    old, new = captioners[-2:]
    texts = f"select clip_id, {SIDE}, {TEXT} as text, captioner from captions"
    pairs = f"""(
        select c.*, a.side as old_side, b.side as new_side
        from clips c
        join ({texts}) a on a.clip_id = c.clip_id and a.captioner = ?
        join ({texts}) b on b.clip_id = c.clip_id and b.captioner = ?
        where a.text <> b.text
    )"""
    order = "uri, start_us, clip_id"
    rows, total = spread(connection, pairs, "true", order, limit, old.captioner, new.captioner)
    shown = [_pair(row, row["old_side"], row["new_side"], shelf) for row in rows]
    return Pairs(None, shown, total)


SIDE = f"""struct_pack(captioner := captioner, captioner_name := captioner_name, short := short, detailed := {TEXT},
    text_video_similarity := text_video_similarity, status := status, reasons := reasons) as side"""


def release_pairs(connection: duckdb.DuckDBPyConnection, found: Differences, limit: int, shelf: Shelf) -> Pairs:
    """Clips of two releases whose captioner or text is not the same in both."""
    changed = [difference for difference in found.clips if any(change.column in SAID for change in difference.changes)]
    news = [dict(difference.clip) for difference in evenly(changed, limit)]
    olds = [
        new | {change.column: change.old for change in difference.changes}
        for new, difference in zip(news, evenly(changed, limit), strict=True)
    ]
    scores = _scores(connection, [*olds, *news])
    shown = [
        _pair(new, old | scores[_key(old)], new | scores[_key(new)], shelf) for old, new in zip(olds, news, strict=True)
    ]
    return Pairs((found.old.name, found.new.name), shown, len(changed))


NO_SCORES = {"captioner_name": None, "text_video_similarity": None, "status": None, "reasons": []}


def _scores(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """What the tables say of captions, by clip and captioner."""
    keys = [pa.array([row[name] for row in rows], pa.string()) for name in ("clip_id", "captioner")]
    connection.register("asked_captions", pa.table(keys, ["clip_id", "captioner"]))
    found = connection.sql(
        f"select distinct clip_id, captioner, {', '.join(NO_SCORES)} from captions"
        " join asked_captions using (clip_id, captioner)"
    ).to_arrow_table()
    said = {_key(row): {name: row[name] for name in NO_SCORES} for row in found.to_pylist()}
    return {_key(row): said.get(_key(row), NO_SCORES) for row in rows}


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["clip_id"], row["captioner"]


def _pair(clip: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], shelf: Shelf) -> CaptionPair:
    short, detailed = (mark_words(old[name] or "", new[name] or "") for name in ("short", "detailed"))
    sides = (_side(old, short[0], detailed[0]), _side(new, short[1], detailed[1]))
    place = f"{clip['uri'].rpartition('/')[2]}, {span_text(clip)}"
    return CaptionPair(clip, shelf.picture(clip), place, sides)


def _side(said: Mapping[str, Any], short: Sequence[Piece], detailed: Sequence[Piece]) -> Side:
    facts = {name: said[name] for name in ("captioner", *NO_SCORES)}
    return Side(**facts, short=short, detailed=detailed, num_words=len((said["detailed"] or "").split()))
