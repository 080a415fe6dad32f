"""Captions side by side, from two captioners of a data set or from two releases; and a summary of each captioner.

The text shown is the one that training reads: the merged one where a caption was merged with the source's own text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.release.diff import Differences
from pipeline.report.clocks import span_text
from pipeline.report.galleries import choose_evenly, select_evenly
from pipeline.report.pictures import Picture, PictureCollector
from pipeline.report.word_marks import Piece, mark_words
from schemas.tables.captions import FAILED, OK, REJECTED

TEXT = "coalesce(merged, detailed)"
CAPTION_COLUMNS = ("captioner", "short", "medium", "detailed")
"""Columns of a release; if one of them differs, the caption is a different one."""


@dataclass(frozen=True)
class Side:
    """One of two captions; name, score and status are None if the tables no longer have its row."""

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
    """A clip with two captions. `place` is the file's name and the clip's times in it."""

    clip: Mapping[str, Any]
    picture: Picture
    place: str
    sides: tuple[Side, Side]


@dataclass(frozen=True)
class Pairs:
    """Pairs of captions; `total` also counts the pairs that are not shown."""

    names: tuple[str, str] | None
    """Headings of the two sides; None: the names of their captioners."""
    shown: Sequence[CaptionPair]
    total: int


@dataclass(frozen=True)
class CaptionerSummary:
    """A captioner's captions in numbers: over the clips of a release, or over all that it captioned. A mean is None
    where there are no values."""

    captioner: str
    captioner_name: str | None
    num_clips: int
    mean_words: float | None
    mean_similarity: float | None
    num_ok: int
    """Of all its captions, in a release or not."""
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
    from captions group by captioner order by max(written_us), captioner
"""
RELEASE_SUMMARIES = r"""
    select captioner, any_value(a.captioner_name) as captioner_name, count(*) as num_clips,
           avg(len(string_split_regex(trim(r.detailed), '\s+'))) as mean_words,
           avg(c.text_video_similarity) as mean_similarity,
           coalesce(any_value(num_ok), 0) as num_ok, coalesce(any_value(num_rejected), 0) as num_rejected,
           coalesce(any_value(num_failed), 0) as num_failed
    from release_clips r left join captions c using (clip_id, captioner) left join captioners a using (captioner)
    group by captioner order by num_clips desc, captioner
"""


def captioner_summaries(connection: duckdb.DuckDBPyConnection) -> list[CaptionerSummary]:
    """Every captioner of a data set, ordered by the time of its last caption."""
    return [CaptionerSummary(**row) for row in connection.sql(SUMMARIES).to_arrow_table().to_pylist()]


def release_summaries(connection: duckdb.DuckDBPyConnection, found: Differences) -> list[CaptionerSummary]:
    """The captioners of two releases, each over its clips in that release, most clips first."""
    connection.register("captioners", connection.sql(SUMMARIES).to_arrow_table())
    summaries = []
    for release in (found.old, found.new):
        connection.register("release_clips", release.clips)
        rows = connection.sql(RELEASE_SUMMARIES).to_arrow_table().to_pylist()
        summaries += [CaptionerSummary(**row, release=release.name) for row in rows]
    return summaries


def captioner_pairs(
    connection: duckdb.DuckDBPyConnection,
    captioners: Sequence[CaptionerSummary],
    limit: int,
    collector: PictureCollector,
) -> Pairs | None:
    """Clips that the two latest captioners describe differently; None if there are fewer than two captioners.

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
    rows, total = select_evenly(connection, pairs, "true", order, limit, old.captioner, new.captioner)
    shown = [_pair(row, row["old_side"], row["new_side"], collector) for row in rows]
    return Pairs(None, shown, total)


SIDE = f"""struct_pack(captioner := captioner, captioner_name := captioner_name, short := short, detailed := {TEXT},
    text_video_similarity := text_video_similarity, status := status, reasons := reasons) as side"""


def release_pairs(
    connection: duckdb.DuckDBPyConnection, found: Differences, limit: int, collector: PictureCollector
) -> Pairs:
    """Clips that are in both releases, with another captioner or text in each."""
    changed = [d for d in found.clips if any(change.column in CAPTION_COLUMNS for change in d.changes)]
    news = [dict(difference.clip) for difference in choose_evenly(changed, limit)]
    olds = [
        new | {change.column: change.old for change in difference.changes}
        for new, difference in zip(news, choose_evenly(changed, limit), strict=True)
    ]
    scores = _scores(connection, [*olds, *news])
    shown = [
        _pair(new, old | scores[_key(old)], new | scores[_key(new)], collector)
        for old, new in zip(olds, news, strict=True)
    ]
    return Pairs((found.old.name, found.new.name), shown, len(changed))


UNKNOWN = {"captioner_name": None, "text_video_similarity": None, "status": None, "reasons": []}
"""Columns of `captions` that a release does not have, as they are for a caption that the tables no longer have."""


def _scores(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """The columns of UNKNOWN, by clip and captioner."""
    keys = [pa.array([row[name] for row in rows], pa.string()) for name in ("clip_id", "captioner")]
    connection.register("wanted_captions", pa.table(keys, ["clip_id", "captioner"]))
    found = connection.sql(
        f"select distinct clip_id, captioner, {', '.join(UNKNOWN)} from captions"
        " join wanted_captions using (clip_id, captioner)"
    ).to_arrow_table()
    known = {_key(row): {name: row[name] for name in UNKNOWN} for row in found.to_pylist()}
    return {_key(row): known.get(_key(row), UNKNOWN) for row in rows}


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["clip_id"], row["captioner"]


def _pair(
    clip: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], collector: PictureCollector
) -> CaptionPair:
    short, detailed = (mark_words(old[name] or "", new[name] or "") for name in ("short", "detailed"))
    sides = (_side(old, short[0], detailed[0]), _side(new, short[1], detailed[1]))
    place = f"{clip['uri'].rpartition('/')[2]}, {span_text(clip)}"
    return CaptionPair(clip, collector.picture(clip), place, sides)


def _side(caption: Mapping[str, Any], short: Sequence[Piece], detailed: Sequence[Piece]) -> Side:
    facts = {name: caption[name] for name in ("captioner", *UNKNOWN)}
    return Side(**facts, short=short, detailed=detailed, num_words=len((caption["detailed"] or "").split()))
