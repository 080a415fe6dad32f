"""Letterbox, pillarbox and other borders: which part of the frame is picture, for any span of a video.

Of each sampled frame about a hundred bytes are kept: the lines that may be a border's edge (`borders/lines.py`). Once
the spans are known, the frames of a span together tell where its picture ends (`borders/evidence.py`).

The content box holds the picture of every frame: where borders change within a clip it is the union of the boxes, and
`bars_change` says so. Subtitles and logos in a bar do not widen it: a row belongs to a bar if most of it does. A row
that is partly picture, as scaling leaves at the edge, belongs to the picture. A clip that is too dark to tell takes the
black bars of the video's other clips, unless its own frames contradict them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.borders.evidence import BLACK, NONE, SAME_LINE_PX, Borders, Frame, borders_of
from pipeline.measure.stream.borders.lines import FLAT_LUMA, SIDE, record_of, sides_of
from schemas.recipe.measure import MeasureConfig

MIN_SIDE_PX, MIN_REDUCED_PX = 64, 16
"""A frame with a side below this, at full size or reduced, counts as picture throughout."""


class LetterboxMeasure:
    """Columns of `schemas.tables.measures.Letterbox`."""

    every_frame = False

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        """`config` changes nothing here; every stream measure takes it."""
        self.video = video
        self._frames = array("q")
        self._records = bytearray()
        self._stored: Frame | None = None
        self._solved: tuple[tuple[Span, ...], list[Borders]] | None = None

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        full = frame.full_luma
        if self._stored is None:
            height, width = full.shape
            self._stored = Frame(width, height, height / frame.luma.shape[0])
        if min(full.shape) < MIN_SIDE_PX or min(frame.luma.shape) < MIN_REDUCED_PX:
            return
        sides = [record_of(side) for side in sides_of(frame.luma, frame.blue, frame.red, full)]
        self._frames.append(frame.index)
        self._records += np.array(sides, SIDE).tobytes()

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        width, height = self.video.width, self.video.height
        borders = self._borders(span, spans)
        x, y, w, h = self._displayed(borders)
        areas: Counter[str] = Counter()
        for kind, depth, other in zip(borders.kinds, borders.depths_px, (1, 1, 0, 0), strict=True):
            areas[kind] += depth * (width if other else height)
        kind = max((k for k in areas if k != NONE), key=lambda k: areas[k], default=NONE)
        return {
            "content_box": [x, y, w, h],
            "short_side_px": min(w, h),
            "bars_frac": 1.0 - w * h / (width * height),
            "border_kind": kind,
            "bars_change": borders.change,
        }

    def _displayed(self, borders: Borders) -> tuple[int, int, int, int]:
        """The content box in displayed pixels, which differ from stored ones where pixels are not square."""
        if self._stored is None:
            return 0, 0, self.video.width, self.video.height
        top, bottom, left, right = borders.depths_px
        fx, fy = self.video.width / self._stored.width, self.video.height / self._stored.height
        x, y = round(left * fx), round(top * fy)
        return x, y, self.video.width - x - round(right * fx), self.video.height - y - round(bottom * fy)

    def _borders(self, span: Span, spans: Sequence[Span]) -> Borders:
        if self._solved is None or self._solved[0] != tuple(spans):
            own = [borders_of(self._of(s), self._frame) for s in spans]
            usual = _usual(own)
            self._solved = (
                tuple(spans),
                [_completed(borders, self._of(s), usual, self._frame) for s, borders in zip(spans, own, strict=True)],
            )
        return self._solved[1][self._solved[0].index(span)]

    @property
    def _frame(self) -> Frame:
        return self._stored or Frame(self.video.width, self.video.height, 1.0)

    def _of(self, span: Span) -> np.ndarray:
        """(T, 4) SIDE records of the span's samples."""
        frames = np.frombuffer(self._frames, np.int64) if self._frames else np.zeros(0, np.int64)
        first, last = np.searchsorted(frames, [span.first, span.last])
        size = 4 * SIDE.itemsize
        return np.frombuffer(bytes(self._records[first * size : last * size]), SIDE).reshape(-1, 4)


def _usual(borders: Sequence[Borders]) -> list[int]:
    """For each side the depth of the black bar that most of the clips with one share; 0 where there is none."""
    usual = []
    for side in range(4):
        depths = Counter(b.depths_px[side] for b in borders if b.kinds[side] == BLACK and not b.change)
        usual.append(max(depths, key=lambda depth: (depths[depth], -depth), default=0))
    return usual


def _completed(borders: Borders, records: np.ndarray, usual: Sequence[int], frame: Frame) -> Borders:
    """A clip's borders, completed by the video's usual bars.

    A usual bar is used where the clip shows no border on a side but is black to that depth, and where the clip's own
    bar differs by a row, so that clips of one video have the same box.
    """
    if borders.change:
        return borders
    depths, kinds = list(borders.depths_px), list(borders.kinds)
    for side, depth in enumerate(usual):
        if not depth:
            continue
        seen = records[:, side]
        black = seen["outer_luma"] <= 16 + FLAT_LUMA
        clean = seen["clean_px"] >= depth - 2 * frame.reduced_px
        takes_over = depths[side] == 0 and depth > 2 * frame.reduced_px and bool(np.all(black & clean))
        if takes_over or abs(depths[side] - depth) <= SAME_LINE_PX:
            depths[side], kinds[side] = depth, BLACK
    return Borders(tuple(depths), tuple(kinds))
