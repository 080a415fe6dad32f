"""Timelines: a video as a row of its clips, coloured by their status, with the gaps between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb

from pipeline.report.clocks import clock, span_text
from pipeline.report.pictures import Picture, PictureCollector
from pipeline.report.thresholds import explain
from schemas.rules import Threshold
from schemas.tables.clips import KEPT

CLIPS_A_ROW = 12
MAX_ROWS = 6
MAX_CLIPS = 300
"""A timeline ends after this many clips, because a page with very many opens slowly."""
MAX_STILL_FRAC, STILL_HEIGHT_FRAC = 0.075, 0.042
"""Largest width, and height, of a picture, as shares of the row's width; where clips are short, not all have one."""
LABEL_FRAC = 0.045
"""A piece narrower than this share of the row has no room for its label."""
GAP = "gap"


@dataclass(frozen=True)
class Piece:
    """The part of a row that shows a clip or a gap; `left` and `width` are shares of the row's width."""

    left: float
    width: float
    status: str
    label: str
    """Why the clip is not kept; empty where there is no room for it."""
    title: str
    """The text that appears when the mouse is over it."""


@dataclass(frozen=True)
class Still:
    """A picture at the middle of its clip; `left` and `width` are shares of the row's width."""

    left: float
    width: float
    picture: Picture
    title: str


@dataclass(frozen=True)
class TimelineRow:
    start: str
    end: str
    pieces: Sequence[Piece]
    stills: Sequence[Still]


@dataclass(frozen=True)
class Timeline:
    """A video: its rows, and the number of clips that they show."""

    uri: str
    length: str
    num_clips: int
    num_shown: int
    num_kept: int
    rows: Sequence[TimelineRow]


def timelines(
    connection: duckdb.DuckDBPyConnection, limit: int, thresholds: Sequence[Threshold], collector: PictureCollector
) -> tuple[list[Timeline], int]:
    """Timelines of the videos with most clips, and the number of videos that have clips."""
    counted = connection.execute(
        "select video_id, count(*) as num_clips, count(*) filter (where status = ?) from clips where not is_image"
        " group by video_id order by num_clips desc, min(uri), video_id",
        [KEPT],
    ).fetchall()
    found = []
    for video_id, num_clips, num_kept in counted[:limit]:
        query = "select * from clips where video_id = ? and not is_image order by start_us, clip_id limit ?"
        clips = connection.sql(query, params=[video_id, MAX_CLIPS]).to_arrow_table().to_pylist()
        lengths = connection.execute("select max(duration_us) from videos where video_id = ?", [video_id]).fetchall()
        length_us = max(lengths[0][0] or 0, clips[-1]["end_us"])
        shown_us = length_us if len(clips) == num_clips else clips[-1]["end_us"]
        rows = timeline_rows(clips, shown_us, thresholds, collector)
        found.append(Timeline(clips[0]["uri"], clock(length_us), num_clips, len(clips), num_kept, rows))
    return found, len(counted)


def timeline_rows(
    clips: Sequence[Mapping[str, Any]], length_us: int, thresholds: Sequence[Threshold], collector: PictureCollector
) -> list[TimelineRow]:
    """Lay out clips, sorted by time, in rows of equal length that together last `length_us`."""
    num_rows = min(MAX_ROWS, math.ceil(len(clips) / CLIPS_A_ROW))
    bounds_us = [round(i * length_us / num_rows) for i in range(num_rows + 1)]
    stretches = [_Stretch.of(clip, thresholds) for clip in clips] + _gaps(clips, length_us)
    stretches.sort(key=lambda stretch: stretch.start_us)
    return [
        TimelineRow(
            clock(first_us),
            clock(last_us),
            [stretch.within(first_us, last_us) for stretch in stretches if stretch.meets(first_us, last_us)],
            _stills(clips, first_us, last_us, thresholds, collector),
        )
        for first_us, last_us in pairwise(bounds_us)
    ]


@dataclass(frozen=True)
class _Stretch:
    """A clip or a gap in time, before it is laid out."""

    start_us: int
    end_us: int
    status: str
    label: str
    title: str

    @classmethod
    def of(cls, clip: Mapping[str, Any], thresholds: Sequence[Threshold]) -> _Stretch:
        label = ", ".join(clip["reasons"])
        return cls(clip["start_us"], clip["end_us"], clip["status"], label, _title(clip, thresholds))

    def meets(self, first_us: int, last_us: int) -> bool:
        return self.start_us < last_us and self.end_us > first_us

    def within(self, first_us: int, last_us: int) -> Piece:
        """The part of it that is in a row."""
        start_us, end_us = max(self.start_us, first_us), min(self.end_us, last_us)
        left, width = ((start_us - first_us) / (last_us - first_us), (end_us - start_us) / (last_us - first_us))
        return Piece(left, width, self.status, self.label if width >= LABEL_FRAC else "", self.title)


def _stills(
    clips: Sequence[Mapping[str, Any]],
    first_us: int,
    last_us: int,
    thresholds: Sequence[Threshold],
    collector: PictureCollector,
) -> list[Still]:
    """Pictures at the middles of the clips of a row; those for which there is no room are left out."""
    stills: list[Still] = []
    for clip in clips:
        middle_us = (clip["start_us"] + clip["end_us"]) // 2
        if first_us <= middle_us < last_us:
            width = min(MAX_STILL_FRAC, STILL_HEIGHT_FRAC * clip["width"] / clip["height"])
            centre = (middle_us - first_us) / (last_us - first_us)
            left = min(max(centre - width / 2, 0.0), 1 - width)
            if not stills or left >= stills[-1].left + stills[-1].width:
                stills.append(Still(left, width, collector.picture(clip), _title(clip, thresholds)))
    return stills


def _gaps(clips: Sequence[Mapping[str, Any]], length_us: int) -> list[_Stretch]:
    """Times that belong to no clip; those between two clips are transitions, which are cut away."""
    edges = [(0, 0), *((clip["start_us"], clip["end_us"]) for clip in clips), (length_us, length_us)]
    gaps = []
    for (_, start_us), (end_us, _) in pairwise(edges):
        if end_us > start_us:
            what = "transition, in no clip" if start_us > 0 and end_us < length_us else "in no clip"
            title = f"{clock(start_us)} to {clock(end_us)}: {(end_us - start_us) * 1e-6:.2f} s, {what}"
            gaps.append(_Stretch(start_us, end_us, GAP, "", title))
    return gaps


def _title(clip: Mapping[str, Any], thresholds: Sequence[Threshold]) -> str:
    reasons = [explain(reason, clip, thresholds) for reason in clip["reasons"]]
    head = f"shot {clip['shot_index']}, {span_text(clip)}: {clip['status']}"
    return "\n".join([head, *reasons, clip["clip_id"]])
