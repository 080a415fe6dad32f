"""Galleries of clip cards: rows chosen evenly, each clip shown once, and a count of those that are not shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb

from pipeline.report.axes import number
from pipeline.report.clocks import span_text
from pipeline.report.pictures import Progress
from pipeline.report.thresholds import explain
from pipeline.report.thumbnails import Strip, read_strips
from schemas.rules import Threshold
from schemas.tables.clips import KEPT

T = TypeVar("T")
NO_REASON = "(no reason given)"
CARD_SCORES = {"brightness": "", "motion_px_s": "px/s", "bars_frac": ""}
"""Scores on every card, with their units, beside the size and length that each card has."""


@dataclass(frozen=True)
class Card:
    """A clip with its pictures, its reasons with the measured values, and its captions (rows of `captions`)."""

    clip: Mapping[str, Any]
    strip: Strip
    reasons: Sequence[str]
    captions: Sequence[Mapping[str, Any]]

    @property
    def facts(self) -> list[str]:
        clip = self.clip
        facts = [f"{clip['width']}×{clip['height']}"]
        if clip["is_image"]:
            facts.append("image")
        else:
            facts += [span_text(clip), f"{clip['duration_s']:.2f} s", f"{clip['num_frames']} frames"]
        scores = ((name.split("_")[0], clip[name], unit) for name, unit in CARD_SCORES.items())
        return facts + [f"{name} {number(value)} {unit}".rstrip() for name, value, unit in scores if value is not None]


@dataclass(frozen=True)
class Gallery:
    """Cards of one kind; `elsewhere` are the ids of clips of this kind whose cards are in another gallery."""

    title: str
    total: int
    cards: Sequence[Card]
    elsewhere: Sequence[str] = ()

    @property
    def num_hidden(self) -> int:
        return self.total - len(self.cards) - len(self.elsewhere)


def select_evenly(
    connection: duckdb.DuckDBPyConnection, view: str, condition: str, order: str, limit: int, *values: object
) -> tuple[list[dict[str, Any]], int]:
    """At most `limit` of a view's rows that meet a condition, evenly spaced in their order, and the number of all.

    Of n rows, row i is chosen if i * limit / n passes a whole number: min(n, limit) rows, the same ones every time.
    """
    query = f"""
        with numbered as (
            select *, row_number() over (order by {order}) - 1 as place, count(*) over () as total
            from {view} where {condition}
        )
        select * from numbered
        where place * {limit} // total <> (place - 1) * {limit} // total or (place = 0 and {limit} > 0)
        order by place
    """
    total = connection.execute(f"select count(*) from {view} where {condition}", list(values)).fetchall()[0][0]
    rows = connection.sql(query, params=list(values)).to_arrow_table().to_pylist()
    return rows, total


def choose_evenly(rows: Sequence[T], limit: int) -> list[T]:
    """At most `limit` of some rows, chosen as `select_evenly` chooses."""
    return [row for i, row in enumerate(rows) if i * limit // len(rows) != (i - 1) * limit // len(rows)]


def kept_gallery(connection: duckdb.DuckDBPyConnection, limit: int, progress: Progress) -> Gallery:
    """Kept clips, ordered by file and time."""
    rows, total = select_evenly(connection, "clips", f"status = '{KEPT}'", "uri, start_us", limit)
    return Gallery("kept", total, _cards(connection, rows, (), progress))


def other_galleries(
    connection: duckdb.DuckDBPyConnection,
    limit: int,
    thresholds: Sequence[Threshold],
    shown_elsewhere: Collection[str],
    progress: Progress,
) -> list[Gallery]:
    """Clips that are not kept: a gallery for each reason, most frequent first.

    Reasons in `shown_elsewhere` are left out. A clip with several reasons has its card under the rarest of them.
    """
    reasons = connection.execute(
        "select reason, count(*) as clips from (select unnest(if(len(reasons) = 0, [?], reasons)) as reason"
        f" from clips where status <> '{KEPT}') group by reason order by clips, reason",
        [NO_REASON],
    ).fetchall()
    shown: set[str] = set()
    galleries = []
    condition = f"status <> '{KEPT}' and list_contains(if(len(reasons) = 0, [?], reasons), ?)"
    for reason, _ in reasons:
        if reason in shown_elsewhere:
            continue
        rows, total = select_evenly(connection, "clips", condition, "uri, start_us", limit, NO_REASON, reason)
        elsewhere = [row["clip_id"] for row in rows if row["clip_id"] in shown]
        cards = _cards(connection, [row for row in rows if row["clip_id"] not in shown], thresholds, progress)
        shown.update(card.clip["clip_id"] for card in cards)
        galleries.append(Gallery(reason, total, cards, elsewhere))
    return galleries[::-1]


def _cards(
    connection: duckdb.DuckDBPyConnection,
    clips: Sequence[Mapping[str, Any]],
    thresholds: Sequence[Threshold],
    progress: Progress,
) -> list[Card]:
    strips = read_strips(clips)
    cards = []
    for clip in clips:
        captions = connection.sql(
            "select * from captions where clip_id = ? order by written_us, captioner", params=[clip["clip_id"]]
        ).to_arrow_table()
        reasons = [explain(reason, clip, thresholds) for reason in clip["reasons"]]
        cards.append(Card(clip, strips[clip["clip_id"]], reasons, captions.to_pylist()))
        progress()
    return cards
