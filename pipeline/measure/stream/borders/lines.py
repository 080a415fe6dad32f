"""Straight lines along a whole side of one frame, with something plain outside, as a border's inner edge is.

Each side is turned to be the top. Candidates are found on the reduced luma: for every row, the mean of how far luma
departs from a straight continuation of the rows outside it. That is zero in bars, gradients and blurred fill-ins, and
large at a picture's first row. Around a candidate, full-size rows are compared with the rows outside. This gives the
line to the pixel, whether it is a step or a slow rise (a vignette, a night sky), and along which of 16 segments of the
side there is a step.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

MAX_DEPTH_FRAC = 0.45
"""A border on one side is at most this share of the frame; beyond, the picture is dark or plain, not bordered."""
NUM_SEGMENTS = 16
"""Parts that a side is divided into, of each of which one bit says whether a line steps there."""
SEGMENT_BITS = 1 << np.arange(NUM_SEGMENTS)
NUM_LINES = 2
"""Lines kept of a side: the best one, and a second in case the best is text in a bar or a frame within the picture."""
DEAD_LUMA = 4
"""Departures up to this, of 255, are noise or the curvature of a blur."""
FULL_LUMA = 16
"""Larger departures count as this one, so that many small steps weigh more than a few large ones."""
FLAT_LUMA = 10
"""A pixel within this many levels of the outermost rows is taken for border like them."""
POSITIONS = 192
"""Most positions along a side that are read: the line is the same at each."""
THIN_BAR_LUMA = 32
"""Luma that the pixels of a bar of one or two reduced rows do not exceed."""
MIN_JUMP_LUMA = 0.7
"""A smaller step, on average over the side, is lost in compression noise."""
MIN_SHARPNESS = 4.0
"""A line steps by this many times the mean change from row to row outside it; a vignette does not."""
MIN_PART, MIN_PART_LUMA = 0.03, 1.5
"""A row that departs from the border by this share of the line's step, and this many levels, is partly picture."""
MAX_UNCLEAN_SHARE = 0.05
"""Share of a row that may depart from the border's colour right outside the line."""
MAX_OFF_LINE_LUMA = 3.0
"""Most of a plain colour or linear gradient is within this many levels of a straight line; a blurred fill-in is not."""
NUM_ROWS = 7
"""Rows of a border that are read, spread over its depth."""
MAX_OFF_AT_LINE = 0.3
"""A plain border keeps its colour up to the line, within this share of the step; if there is picture between border and
line it does not.
"""
RINGING = 0.1
"""Coarse quantisation leaves waves of this share of a step beside it."""
MIN_SEGMENTS = 3
"""A line steps in at least this many segments."""
MIN_DEPARTURE = 0.02
"""Least departure of a candidate, in [0, 1]."""
MAX_ROUGHNESS = 0.2
"""A border changes along its side, over five reduced pixels, by at most this share of the step at its line."""
MIN_LEAD = 1.25
"""A border's line departs this many times as much as any row outside it; text in a bar covers too little of a row."""

BUSY, SMOOTH, PLANAR = 0, 1, 2
"""What is outside of a line: texture (no border), something smooth, or a flat colour or linear gradient."""

SIDE = np.dtype(
    [
        ("depth_px", "u2", NUM_LINES),
        ("segments", "u2", NUM_LINES),
        ("outside", "u1", NUM_LINES),
        ("luma", "u1", NUM_LINES),
        ("blue", "u1", NUM_LINES),
        ("red", "u1", NUM_LINES),
        ("outer_luma", "u1"),
        ("flat_px", "u2"),
        ("clean_px", "u2"),
        ("quiet_px", "u2"),
    ]
)
"""What is kept of one side of a sampled frame.

Of lines: their depth from the frame's edge (0: none), the segments in which they step, what is outside (BUSY, SMOOTH or
PLANAR) and its luma and chroma. Of the side: luma of its outermost row (`outer_luma`); how deep most of each row
(`flat_px`), and all but 1% of it (`clean_px`), is like that one; how deep there is no structure (`quiet_px`).
"""


class Side:
    """A side of a frame, turned so that it is the top: reduced planes and full-size luma."""

    def __init__(self, luma: np.ndarray, blue: np.ndarray, red: np.ndarray, full: np.ndarray) -> None:
        self.luma, self.blue, self.red, self.full = luma, blue, red, full
        self.scale = full.shape[0] / luma.shape[0]
        self.depth = round(MAX_DEPTH_FRAC * luma.shape[0])
        """How many reduced rows are read."""
        self.step = max(1, full.shape[1] // POSITIONS)
        """Of the full-size positions along the side every `step`-th is read."""
        self.departures = self._departures()

    def _departures(self) -> np.ndarray:
        """Mean departure of row i + 2 from the continuation of rows i - 1 and i, in [0, 1]; 0 for i = 0."""
        rows = self.luma[: self.depth + 2]
        near = cv2.absdiff(rows[1:-2], rows[:-3])
        far = cv2.absdiff(rows[2:], rows[:-2])
        beyond = cv2.subtract(cv2.subtract(far[1:], near), near)
        beyond = np.minimum(np.maximum(beyond, DEAD_LUMA), DEAD_LUMA + FULL_LUMA) - DEAD_LUMA
        departures = np.zeros(len(far), np.float32)
        departures[1:] = cv2.reduce(beyond, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]
        return departures / FULL_LUMA


class Line(NamedTuple):
    """A line of one frame: first row of the picture, mask of the segments that step there, mean step in levels, and
    whether the rows just outside it are clean.
    """

    depth_px: int
    segments: int
    step: float
    clean: bool


def sides_of(luma: np.ndarray, blue: np.ndarray, red: np.ndarray, full: np.ndarray) -> list[Side]:
    """Top, bottom, left and right."""
    luma_t, blue_t, red_t = np.ascontiguousarray(luma.T), blue.T, red.T
    return [
        Side(luma, blue, red, full),
        Side(np.ascontiguousarray(luma[::-1]), blue[::-1], red[::-1], full[::-1]),
        Side(luma_t, blue_t, red_t, full.T),
        Side(np.ascontiguousarray(luma_t[::-1]), blue_t[::-1], red_t[::-1], full.T[::-1]),
    ]


def record_of(side: Side) -> tuple:
    """The values of a SIDE record of one side."""
    lines: list[tuple[int, ...]] = []
    for near_px in _candidates(side):
        line = _locate(side, near_px)
        if line is None or any(line.depth_px == known[0] for known in lines):
            continue
        outside = _outside_of_thin if line.depth_px < 2 * side.scale else _outside
        lines.append((line.depth_px, line.segments, *outside(side, line)))
        if len(lines) == NUM_LINES:
            break
    lines += [(0,) * 6] * (NUM_LINES - len(lines))
    return (*zip(*lines, strict=True), *_outermost(side))


def _outermost(side: Side) -> tuple[int, int, int, int]:
    """Luma of the outermost row; how deep most of each row, and all but 1% of it, is like that row; how deep nothing
    departs.
    """
    rows = side.luma[: side.depth]
    apart = cv2.absdiff(rows, np.repeat(rows[:1], len(rows), 0))
    differs = cv2.threshold(apart, FLAT_LUMA, 1, cv2.THRESH_BINARY)[1]
    share = cv2.reduce(differs, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]
    depths = []
    for over in (share > 0.3, share > 0.01, side.departures > 0.1):
        first = int(over.argmax())
        depths.append(round((first if over[first] else side.depth) * side.scale))
    return _middle(rows[0]), depths[0], depths[1], depths[2]


def _candidates(side: Side) -> list[int]:
    """Depths in full-size pixels around which a line is searched for, most promising first.

    A border's line departs more than anything outside it: further lines within a picture do not.
    """
    departures = side.departures
    score = departures - MIN_DEPARTURE
    score[2:] -= 3 * np.cumsum(departures)[:-2] / np.arange(1, len(departures) - 1)
    score[3:][departures[3:] < MIN_LEAD * np.maximum.accumulate(departures)[:-3]] = 0
    chosen = [0] if _thin_bar_possible(side) else []
    for _ in range(NUM_LINES):
        row = int(np.argmax(score))
        if score[row] <= 0:
            break
        chosen.append(round((row + 1.5) * side.scale))
        score[max(row - 3, 0) : row + 4] = 0
    return chosen


def _thin_bar_possible(side: Side) -> bool:
    """Whether the outermost row is dark and plain, so that a bar of less than three reduced rows may be there."""
    row = side.full[0, :: side.step]
    return int(np.count_nonzero(row > THIN_BAR_LUMA)) <= 0.02 * row.size


def _locate(side: Side, near_px: int) -> Line | None:
    """The line about `near_px` deep, to the pixel; None if there is none."""
    margin = round(3 * side.scale) + 4
    start, stop = max(0, near_px - margin), min(side.full.shape[0], near_px + margin)
    rows = np.ascontiguousarray(side.full[start:stop, :: side.step])
    num_outside = 1 if start == 0 else 3
    outermost = cv2.reduce(rows[:num_outside], 0, cv2.REDUCE_AVG)
    apart = cv2.absdiff(rows, np.repeat(outermost, len(rows), 0))
    departure = cv2.reduce(apart, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]
    jumps = np.diff(departure)
    jumps[: num_outside - 1] = 0
    largest = float(jumps.max())
    row = int(np.argmax(jumps >= 0.5 * largest)) + 1
    if largest < MIN_JUMP_LUMA or (row <= num_outside and start > 0):
        return None
    outside = np.abs(jumps[num_outside - 1 : row - 2])
    if largest * outside.size < MIN_SHARPNESS * float(outside.sum()):
        return None
    segments = _stepping(rows, row)
    if segments.bit_count() < MIN_SEGMENTS:
        return None
    noise = float(departure[num_outside : row - 1].mean()) if row - 1 > num_outside else 0.0
    partial = row > 1 and departure[row - 1] > max(MIN_PART_LUMA, 3 * noise, MIN_PART * largest)
    last = max(row - 3, 0)
    ringing = max(float(FLAT_LUMA), RINGING * largest)
    clean = _plain(apart[last], ringing) or _plain(_apart(rows[last], _middle(rows[last])), ringing)
    return Line(start + row - partial, segments, largest, clean)


def _stepping(rows: np.ndarray, row: int) -> int:
    """Mask of the segments in which luma steps at `row`, far more than it changes over as many rows outside."""
    nearer = rows[[min(row + 1, len(rows) - 1), max(row - 2, 0)]]
    farther = rows[[max(row - 2, 0), max(row - 5, 0)]]
    length = rows.shape[1] // NUM_SEGMENTS
    steps = cv2.absdiff(nearer, farther)[:, : length * NUM_SEGMENTS].reshape(2 * NUM_SEGMENTS, length)
    means = cv2.reduce(steps, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]
    return int(np.dot(means[:NUM_SEGMENTS] > 2 * means[NUM_SEGMENTS:] + 3, SEGMENT_BITS))


def _plain(differences: np.ndarray, tolerance: float = FLAT_LUMA) -> bool:
    """Whether hardly any of the differences from a border's colour is one that shows."""
    return bool(np.count_nonzero(differences > tolerance) <= MAX_UNCLEAN_SHARE * differences.size)


def _apart(luma: np.ndarray, level: int) -> np.ndarray:
    return np.abs(luma.astype(np.int16) - level)


def _outside(side: Side, line: Line) -> tuple[int, int, int, int]:
    """What is outside a line, and its luma and chroma, by medians, which text in it does not move."""
    depth = max(1, int(line.depth_px / side.scale) - 2)  # reduced planes leave out up to two rows at one edge
    rows = side.luma[np.arange(NUM_ROWS) * depth // NUM_ROWS]
    along = np.sort(rows, 0)[len(rows) // 2].astype(np.float32)
    luma = _middle(along)
    rough = np.abs(along - cv2.blur(along[None], (5, 1))[0])[2:-2]
    if np.count_nonzero(rough > min(5.0, max(1.0, MAX_ROUGHNESS * line.step))) > 0.05 * rough.size:
        return BUSY, luma, 128, 128
    across = np.sort(side.luma[:depth, ::8], 1)[:, side.luma.shape[1] // 16].astype(np.float32)
    (off_along, _), (off_across, off_at_line) = _off_line(along), _off_line(across)
    outside = PLANAR if line.clean else BUSY
    tolerance = max(MAX_OFF_LINE_LUMA, MAX_OFF_AT_LINE * line.step)
    if max(off_along, off_across) > MAX_OFF_LINE_LUMA or (line.clean and off_at_line > tolerance):
        outside = SMOOTH
    blue, red = (_middle(plane[: max(1, depth // 2) : 2, ::4]) for plane in (side.blue, side.red))
    return outside, luma, blue, red


def _outside_of_thin(side: Side, line: Line) -> tuple[int, int, int, int]:
    """The same for a bar of less than two reduced rows: by its full-size rows, and as grey."""
    rows = np.ascontiguousarray(side.full[: max(1, line.depth_px - 1), :: side.step])
    luma = _middle(rows)
    tolerance = min(float(FLAT_LUMA), max(2.0, 2 * MAX_ROUGHNESS * line.step))
    plain = luma <= THIN_BAR_LUMA and _plain(_apart(rows, luma), tolerance)
    return PLANAR if plain else BUSY, luma, 128, 128


def _middle(values: np.ndarray) -> int:
    """The median, the upper one of two."""
    half = values.size // 2
    return int(np.partition(values, half, axis=None)[half])


def _off_line(values: np.ndarray) -> tuple[float, float]:
    """How far most of a sequence is off a straight line, and how far its last value: the line goes through the medians
    of the first and last third, and most are 60%.
    """
    third = len(values) // 3
    if third == 0:
        return float(np.ptp(values)), float(np.ptp(values))
    slope = (_middle(values[-third:]) - _middle(values[:third])) / (len(values) - third)
    rest = values - slope * np.arange(len(values))
    distances = np.abs(rest - np.sort(rest)[len(rest) // 2])
    return float(np.sort(distances)[int(0.6 * len(distances))]), float(distances[-1])
