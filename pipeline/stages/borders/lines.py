"""Straight lines along a whole side of one frame, with something plain outside: what a border's inner edge looks like.

Each side is looked at as if it were the top. Lines are nominated on the reduced luma, where every row has the mean,
over the side, of how far luma departs from a straight continuation of the rows outside it: zero in bars, gradients and
blurred fill-ins, large at a picture's first row. Around a nominee full-size rows are compared with the rows outside,
which gives the line to the pixel, whether it is a step or a slow rise (a vignette, a night sky), and along which of
16 segments of the side the step is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

MAX_DEPTH_FRAC = 0.45
"""A border on one side is at most this share of the frame; beyond, the picture is dark or plain, not bordered."""
NUM_SEGMENTS = 16
NUM_LINES = 2
"""Lines kept of a side: the best one and, where writing in a bar or a frame within the picture wins, the true one."""
DEAD_LUMA = 4
"""Departures up to this many levels are noise or the curvature of a blur."""
FULL_LUMA = 16
"""Departures beyond this count no more, so that many small steps weigh more than a few large ones."""
FLAT_LUMA = 10
"""Within so many levels of the outermost rows a pixel still looks like them."""
POSITIONS = 320
"""So many positions along a side are looked at, at most: the line is the same at each."""
THIN_BAR_LUMA = 32
MIN_JUMP_LUMA = 0.7
"""A step of less than this, on average over the side, is lost in what compression does."""
MIN_SHARPNESS = 4.0
"""A line steps by so many times the mean change from row to row outside it; a vignette does not."""
MIN_PART_LUMA = 1.5
"""A row that departs so much from the bar shows part of the picture."""
MAX_UNCLEAN_SHARE = 0.05
"""Share of a row that may depart from the border's colour right outside the line."""
MAX_ROUGHNESS = 0.2
"""What changes along a border, over five reduced pixels, is at most this share of the step at its line."""
MIN_LEAD = 1.5
"""A border's line departs so many times as much as any row outside it; writing in a bar covers too little of a row."""

BUSY, SMOOTH, PLANAR = 0, 1, 2
"""How the outside of a line looks: textured (no border), smooth, or a flat colour or linear gradient."""

SIDE = np.dtype(
    [
        ("depth_px", "u2", NUM_LINES),
        ("segments", "u2", NUM_LINES),
        ("look", "u1", NUM_LINES),
        ("luma", "u1", NUM_LINES),
        ("blue", "u1", NUM_LINES),
        ("red", "u1", NUM_LINES),
        ("outer_luma", "u1"),
        ("flat_px", "u2"),
        ("clean_px", "u2"),
        ("quiet_px", "u2"),
    ]
)
"""What is kept of one side of a sampled frame. Lines: their depth from the frame's edge (0: none), the segments in which
they step, and how the outside looks. The side: luma of its outermost rows; how deep most of each row, and all but 1% of
each row, still looks like those; how deep it is without structure.
"""


@dataclass
class Side:
    """A side of a frame, turned so that it is the top: reduced planes and full-size luma."""

    luma: np.ndarray
    blue: np.ndarray
    red: np.ndarray
    full: np.ndarray

    @property
    def scale(self) -> float:
        return self.full.shape[0] / self.luma.shape[0]

    @cached_property
    def depth(self) -> int:
        """How many reduced rows are looked at."""
        return max(3, round(MAX_DEPTH_FRAC * self.luma.shape[0]))

    @cached_property
    def departures(self) -> np.ndarray:
        """Mean departure of row i + 2 from the continuation of rows i - 1 and i, in [0, 1]; 0 for i = 0."""
        rows = self.luma[: self.depth + 2]
        near = cv2.absdiff(rows[1:], rows[:-1])
        far = cv2.absdiff(rows[2:], rows[:-2])
        beyond = cv2.subtract(cv2.subtract(far[1:], near[: len(far) - 1]), near[: len(far) - 1])
        beyond = cv2.min(cv2.subtract(beyond, DEAD_LUMA), FULL_LUMA)
        means = cv2.reduce(beyond, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0] / FULL_LUMA
        return np.concatenate([np.zeros(1, np.float32), means])


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
    planes = luma, blue, red
    across = [np.ascontiguousarray(plane.T) for plane in planes]
    return [
        Side(*planes, full),
        Side(*(plane[::-1] for plane in planes), full[::-1]),
        Side(*across, full.T),
        Side(*(plane[::-1] for plane in across), full.T[::-1]),
    ]


def look_at(side: Side) -> np.ndarray:
    """The SIDE record of one side, shape ()."""
    record = np.zeros((), SIDE)
    _note_outermost(side, record)
    found = 0
    for near_px in _nominees(side):
        line = _locate(side, near_px)
        if line is None or line.depth_px in record["depth_px"]:
            continue
        record["depth_px"][found], record["segments"][found] = line.depth_px, line.segments
        look = _outside_of_thin if line.depth_px < 2 * side.scale else _outside
        for name, value in zip(("look", "luma", "blue", "red"), look(side, line), strict=True):
            record[name][found] = value
        found += 1
        if found == NUM_LINES:
            break
    return record


def _note_outermost(side: Side, record: np.ndarray) -> None:
    rows = side.luma[: side.depth]
    outermost = rows[0]
    apart = cv2.absdiff(rows, np.repeat(outermost[None], len(rows), 0))
    share = cv2.reduce(cv2.threshold(apart, FLAT_LUMA, 1, cv2.THRESH_BINARY)[1], 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[
        :, 0
    ]
    record["outer_luma"] = np.sort(outermost)[len(outermost) // 2]
    for name, over in (("flat_px", share > 0.3), ("clean_px", share > 0.01), ("quiet_px", side.departures > 0.1)):
        first = int(np.argmax(over)) if over.any() else side.depth
        record[name] = round(first * side.scale)


def _nominees(side: Side) -> list[int]:
    """Depths in full-size pixels around which a line is worth a closer look, most promising first.

    A border's line departs more than anything outside it: further lines within a picture do not.
    """
    departures = side.departures
    before = np.concatenate([[0, 0], np.cumsum(departures)[:-2]]) / np.maximum(np.arange(len(departures)) - 1, 1)
    largest_before = np.concatenate([[0, 0, 0], np.maximum.accumulate(departures)[:-3]])
    score = departures - 3 * before - 0.02
    score[departures < MIN_LEAD * largest_before] = 0
    chosen = [0] if _thin_bar_possible(side) else []
    for _ in range(NUM_LINES):
        row = int(np.argmax(score))
        if score[row] <= 0:
            break
        chosen.append(round((row + 1.5) * side.scale))
        score[max(row - 3, 0) : row + 4] = 0
    return chosen


def _thin_bar_possible(side: Side) -> bool:
    """Whether the outermost full-size row is dark and plain, so that a bar of less than three reduced rows may be there."""
    row = side.full[0, :: max(1, side.full.shape[1] // POSITIONS)]
    return int(np.count_nonzero(row > THIN_BAR_LUMA)) <= 0.02 * row.size


def _locate(side: Side, near_px: int) -> Line | None:
    """The line about `near_px` deep, to the pixel; None if there is none."""
    margin = round(3 * side.scale) + 4
    start, stop = max(0, near_px - margin), min(side.full.shape[0], near_px + margin)
    step = max(1, side.full.shape[1] // POSITIONS)
    rows = side.full[start:stop, ::step].astype(np.float32)
    num_outside = 1 if start == 0 else 3
    if len(rows) < num_outside + 4:
        return None
    apart = np.abs(rows - rows[:num_outside].mean(0))
    departure = apart.mean(1)
    jumps = np.diff(departure)
    jumps[: num_outside - 1] = 0
    largest = float(jumps.max())
    row = int(np.argmax(jumps >= 0.5 * largest)) + 1
    outside = np.abs(jumps[num_outside - 1 : row - 2])
    if largest < max(MIN_JUMP_LUMA, MIN_SHARPNESS * float(outside.mean()) if outside.size else 0):
        return None
    if row <= num_outside and start > 0:
        return None
    segments = _stepping(rows, row)
    if segments.bit_count() < 2:
        return None
    noise = float(departure[num_outside : row - 1].mean()) if row - 1 > num_outside else 0.0
    partial = row > 1 and departure[row - 1] > max(MIN_PART_LUMA, 3 * noise)
    last = max(row - 3, 0)
    clean = min(_share_apart(apart[last]), _share_apart(rows[last] - np.median(rows[last]))) <= MAX_UNCLEAN_SHARE
    return Line(start + row - partial, segments, largest, clean)


def _share_apart(differences: np.ndarray) -> float:
    return np.count_nonzero(np.abs(differences) > FLAT_LUMA) / differences.size


def _stepping(rows: np.ndarray, row: int) -> int:
    """Mask of the segments in which luma steps at `row`, far more than it changes over as many rows outside."""
    inside, outside = rows[min(row + 1, len(rows) - 1)], rows[max(row - 2, 0)]
    further = rows[max(row - 5, 0)]
    length = len(inside) // NUM_SEGMENTS
    at_line, before = (
        np.abs(pair[0] - pair[1])[: length * NUM_SEGMENTS].reshape(NUM_SEGMENTS, length).mean(1)
        for pair in ((inside, outside), (outside, further))
    )
    return int(np.dot(at_line > 2 * before + 3, 1 << np.arange(NUM_SEGMENTS)))


def _outside(side: Side, line: Line) -> tuple[int, int, int, int]:
    """How the border outside a line looks, and its luma and chroma, by medians, which writing in it does not move."""
    depth = max(1, int(line.depth_px / side.scale) - 1)
    rows = side.luma[:: max(1, depth // 7)][: max(1, min(depth, 7))]
    along = np.sort(rows, 0)[len(rows) // 2].astype(np.float32)
    across = np.sort(side.luma[:depth, ::8], 1)[:, side.luma.shape[1] // 16].astype(np.float32)
    rough = np.abs(along - cv2.blur(along[None], (5, 1))[0])[2:-2]
    if np.count_nonzero(rough > min(5.0, max(1.0, MAX_ROUGHNESS * line.step))) > 0.05 * rough.size:
        look = BUSY
    elif max(_off_line(along), _off_line(across)) > 3:
        look = SMOOTH
    else:
        look = PLANAR if line.clean else BUSY
    chroma_depth = max(1, depth // 2)
    blue, red = (np.median(plane[:chroma_depth:2, ::4]) for plane in (side.blue, side.red))
    return look, int(np.median(along)), int(blue), int(red)


def _outside_of_thin(side: Side, line: Line) -> tuple[int, int, int, int]:
    """The same for a bar of less than two reduced rows: its own full-size rows, taken for grey."""
    rows = side.full[: max(1, line.depth_px - 1), :: max(1, side.full.shape[1] // POSITIONS)]
    luma = int(np.median(rows))
    plain = np.count_nonzero(np.abs(rows.astype(np.int16) - luma) > FLAT_LUMA) <= MAX_UNCLEAN_SHARE * rows.size
    return PLANAR if plain and luma <= THIN_BAR_LUMA else BUSY, luma, 128, 128


def _off_line(values: np.ndarray) -> float:
    """How far most of a sequence is off a straight line: the 60th percentile of the distance from the one through the
    medians of its first and last third.
    """
    third = len(values) // 3
    if third == 0:
        return float(np.ptp(values))
    slope = (np.median(values[-third:]) - np.median(values[:third])) / (len(values) - third)
    rest = values - slope * np.arange(len(values))
    distances = np.sort(np.abs(rest - np.median(rest)))
    return float(distances[int(0.6 * len(distances))])
