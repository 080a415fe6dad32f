"""From the lines that sampled frames show to the borders of a clip.

A border's inner edge is the same line in every frame that shows a picture there. So lines are gathered by depth over
the clip. The segments of the side in which they step are united over time, since a dark scene lights up only part of
the edge at a time. A frame contradicts a line when its picture is seen outside the line; a frame too dark to tell does
not count. Where lines appear or disappear for good, the clip is divided, and each part is judged by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pipeline.measure.stream.borders.lines import BUSY, FLAT_LUMA, NUM_SEGMENTS, PLANAR

NONE, BLACK, COLOURED, BLURRED = "none", "black", "coloured", "blurred"
TOP, BOTTOM, LEFT, RIGHT = range(4)
OPPOSITE = (BOTTOM, TOP, RIGHT, LEFT)
MAX_BLACK_LUMA = 32
"""Video black is 16; captured or re-encoded bars are seldom more than this."""
NEUTRAL_CHROMA = 8
"""How far from 128 the chroma of a grey is at most."""
SAME_LINE_PX = 1
"""Lines this far apart are one: x264 at low quality, and half-covered rows, move an edge by a row."""
MIN_SHARE_TO_CONSIDER = 0.3
"""A line that steps along less of its side is not considered; a picture in a window fills this share at least."""
MIN_SHARE = {BLACK: 0.6, COLOURED: 0.7, BLURRED: 0.5}
"""Share of the picture's side along which the line must step, if there is a border of the same kind opposite: a black
one over the whole clip, others in one frame.
"""
MIN_SHARE_OF_TWINS = 0.4
"""The same where the opposite side has a black bar of about the same size."""
MIN_SHARE_ALONE, MIN_SHARE_ALONE_AT_ONCE = 0.85, 0.5
"""The same for a black bar with none opposite, over the clip and in one frame."""
TWIN_FRAC = 0.02
"""Two bars are twins if they differ by no more than this share of the frame's side, or by 2 px."""
ABOUT_AS_MUCH = 0.85
"""Lines with at least this share of the largest weight count as likely as that one."""
MAX_SWAY = 4.0
"""Largest standard deviation over time of a plain border's luma; a blurred fill-in follows the picture."""
MIN_RUN = 2
"""Samples that a change of borders must last."""


@dataclass(frozen=True, eq=False)
class Line:
    """One depth at which frames of a clip show a line; `supports`, (T,) bool, are the frames that do.

    `best` are the segments of the frame in which most of them step. A frame whose border reaches less deep than
    `reach_px` contradicts the line.
    """

    depth_px: int
    segments: int
    kind: str
    luma: float
    chroma: tuple[float, float]
    outer_luma: float
    reach_px: float
    best: int
    supports: np.ndarray

    def weight(self) -> int:
        return self.segments.bit_count() * int(self.supports.sum())

    def contradicted(self, records: np.ndarray) -> np.ndarray:
        """Which of the (T,) SIDE records show a picture outside the line."""
        seen = (np.abs(records["depth_px"].astype(int) - self.depth_px) <= SAME_LINE_PX).any(1)
        if self.kind == BLURRED:
            return ~seen & (records["quiet_px"] < self.reach_px)
        changed = np.abs(records["outer_luma"].astype(float) - self.outer_luma) > FLAT_LUMA
        return ~seen & (changed | (records["flat_px"] < self.reach_px))


@dataclass(frozen=True)
class Borders:
    """Depths of top, bottom, left and right with their kinds, in stored pixels, upright."""

    depths_px: tuple[int, ...] = (0, 0, 0, 0)
    kinds: tuple[str, ...] = (NONE, NONE, NONE, NONE)
    change: bool = False


@dataclass(frozen=True)
class Frame:
    """Size of the stored picture, upright, and of a reduced pixel, in pixels."""

    width: int
    height: int
    reduced_px: float

    def side_px(self, side: int) -> int:
        """The frame's extent across the border of a side."""
        return self.height if side in (TOP, BOTTOM) else self.width


def borders_of(records: np.ndarray, frame: Frame) -> Borders:
    """Borders of the frames whose (T, 4) SIDE records are given, T >= 0."""
    if len(records) == 0:
        return Borders()
    lines = [_lines(records[:, side], frame) for side in range(4)]
    parts = _parts(lines, records)
    chosen = [_chosen(records[start:stop], frame) for start, stop in parts]
    depths, kinds, change = [], [], False
    for side in range(4):
        found = [of_part[side] for of_part in chosen]
        depth_px, kind, side_changes = _over_parts(found, [records[start:stop, side] for start, stop in parts])
        depths.append(depth_px)
        kinds.append(kind if depth_px else NONE)
        change |= side_changes
    return Borders(tuple(depths), tuple(kinds), change)


def _over_parts(found: Sequence[Line | None], records: Sequence[np.ndarray]) -> tuple[int, str, bool]:
    """Depth and kind of one side's border in all parts of a clip, and whether it differs between them.

    A part without a line counts as without border only if it contradicts the lines of the other parts.
    """
    known = [line for line in found if line]
    if not known:
        return 0, NONE, False
    least = min(known, key=lambda line: line.depth_px)
    depths = [line.depth_px for line in known]
    for line, seen in zip(found, records, strict=True):
        if line is None and least.contradicted(seen).mean() > 0.5:
            depths.append(0)
    return min(depths), least.kind, max(depths) - min(depths) > 2 * SAME_LINE_PX


def _chosen(records: np.ndarray, frame: Frame) -> list[Line | None]:
    """The inner edge of each side's border in frames through which borders stay as they are, (T, 4) SIDE."""
    chosen = [_outermost_heavy(_lines(records[:, side], frame)) for side in range(4)]
    while doubtful := [
        (line.weight(), side) for side, line in enumerate(chosen) if line and not _convinces(line, side, chosen, frame)
    ]:
        # One at a time, since a false line across hides how much of its side a true one covers.
        chosen[min(doubtful)[1]] = None
    kinds = [line.kind if line else NONE for line in chosen]
    blurred = [BLURRED in (kinds[side], kinds[OPPOSITE[side]]) for side in range(4)]
    return [replace(line, kind=BLURRED) if line and b else line for line, b in zip(chosen, blurred, strict=True)]


def _outermost_heavy(lines: Sequence[Line]) -> Line | None:
    """The heaviest line, or the outermost of about the same weight, since a picture may have lines of its own.

    If the heaviest is the edge of a black bar, lines outside it are text in the bar.
    """
    heaviest = max(lines, key=Line.weight, default=None)
    if heaviest is None or heaviest.kind == BLACK:
        return heaviest
    heavy = [line for line in lines if line.weight() >= ABOUT_AS_MUCH * heaviest.weight()]
    return min(heavy, key=lambda line: line.depth_px)


def _convinces(line: Line, side: int, chosen: Sequence[Line | None], frame: Frame) -> bool:
    """Whether a line steps along enough of the picture's side; colours and blurs count only in pairs."""
    other = chosen[OPPOSITE[side]]
    alike_px = max(2, TWIN_FRAC * frame.side_px(side))
    twins = other is not None and abs(line.depth_px - other.depth_px) <= alike_px
    share, at_once = (_share(segments, side, chosen, frame) for segments in (line.segments, line.best))
    supports = int(line.supports.sum())
    if twins and other is not None and line.kind == other.kind == BLACK:
        supports = max(supports, int(other.supports.sum()))
    if supports < min(MIN_RUN, len(line.supports)):
        return False
    if line.kind == BLACK:
        if other is None or other.kind != BLACK:
            return share >= MIN_SHARE_ALONE and at_once >= MIN_SHARE_ALONE_AT_ONCE
        return share >= (MIN_SHARE_OF_TWINS if twins else MIN_SHARE[BLACK])
    if other is None or at_once < MIN_SHARE[line.kind]:
        return False
    if other.kind == BLACK:  # a blurred fill-in of a picture that is black along one edge
        return twins and line.kind == BLURRED
    apart = max(abs(line.luma - other.luma), *(abs(a - b) for a, b in zip(line.chroma, other.chroma, strict=True)))
    return twins or (line.kind == other.kind == COLOURED and apart <= FLAT_LUMA)


def _share(segments: int, side: int, chosen: Sequence[Line | None], frame: Frame) -> float:
    """Share of the segments between the lines of the two sides across, counting whole ones, in which the line steps."""
    first, last = (LEFT, RIGHT) if side in (TOP, BOTTOM) else (TOP, BOTTOM)
    before, after = chosen[first], chosen[last]
    length = frame.side_px(first) / NUM_SEGMENTS
    start = int(np.ceil(before.depth_px / length)) if before else 0
    stop = NUM_SEGMENTS - (int(np.ceil(after.depth_px / length)) if after else 0)
    if stop - start < 2:
        return 0.0
    return ((segments >> start) & ((1 << (stop - start)) - 1)).bit_count() / (stop - start)


def _lines(records: np.ndarray, frame: Frame) -> list[Line]:
    """The lines worth considering on one side, of its (T,) SIDE records; at most three."""
    depths, segments = records["depth_px"].astype(int), records["segments"]
    weights = np.where((depths > 0) & (records["outside"] != BUSY), np.bitwise_count(segments), 0)
    found = []
    for _ in range(3):
        if not weights.any():
            break
        totals = np.bincount(depths.ravel(), weights.ravel(), minlength=3)
        depth = int(np.argmax(np.convolve(totals, np.ones(2 * SAME_LINE_PX + 1), "same")))
        here = np.abs(depths - depth) <= SAME_LINE_PX
        at_line = here & (weights > 0)
        mostly_busy = (here & (records["outside"] == BUSY)).any(1).sum() > at_line.any(1).sum()
        weights = np.where(np.abs(depths - depth) <= 2 * SAME_LINE_PX, 0, weights)
        line = None if mostly_busy else _line(records, at_line, frame)
        if line is not None:
            found.append(line)
    return found


def _line(records: np.ndarray, at_line: np.ndarray, frame: Frame) -> Line | None:
    """What the (T, NUM_LINES) lines marked in `at_line` have in common; None if they are too few or too short."""
    supports = np.any(at_line, axis=1)
    segments = int(np.bitwise_or.reduce(records["segments"][at_line]))
    if segments.bit_count() < MIN_SHARE_TO_CONSIDER * NUM_SEGMENTS:
        return None
    depth = int(np.median(records["depth_px"][at_line]))
    luma = float(np.median(records["luma"][at_line]))
    planar = (
        float(np.mean(records["outside"][at_line] == PLANAR)) >= 0.5 and np.std(records["luma"][at_line]) <= MAX_SWAY
    )
    chroma = float(np.median(records["blue"][at_line])), float(np.median(records["red"][at_line]))
    grey = max(abs(value - 128) for value in chroma) <= NEUTRAL_CHROMA
    kind = BLURRED if not planar else BLACK if grey and luma <= MAX_BLACK_LUMA else COLOURED
    measured = "quiet_px" if kind == BLURRED else "flat_px"
    reach = min(depth, float(np.median(records[measured][supports]))) - 2 * frame.reduced_px
    best = int(max(records["segments"][at_line], key=lambda mask: int(mask).bit_count()))
    outer_luma = float(np.median(records["outer_luma"][supports]))
    line = Line(depth, segments, kind, luma, chroma, outer_luma, reach, best, supports)
    first, last = np.flatnonzero(supports)[[0, -1]]
    return None if line.contradicted(records[first : last + 1]).sum() > 0.2 * supports.sum() else line


def _parts(lines: Sequence[Sequence[Line]], records: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of samples, [start, stop), through which each side shows the same line, or picture to the edge."""
    num_samples = len(records)
    labels = np.zeros(num_samples, int)
    for side, side_lines in enumerate(lines):
        labels = labels * 8 + _labels(side_lines, records[:, side])
    changes = np.flatnonzero(np.diff(labels)) + 1
    bounds = [0, *changes.tolist(), num_samples]
    merged: list[tuple[int, int]] = []
    for start, stop in pairwise(bounds):
        if merged and stop - start < MIN_RUN:
            merged[-1] = merged[-1][0], stop
        else:
            merged.append((start, stop))
    if len(merged) > 1 and merged[0][1] - merged[0][0] < MIN_RUN:
        merged[:2] = [(merged[0][0], merged[1][1])]
    return merged


def _labels(lines: Sequence[Line], records: np.ndarray) -> np.ndarray:
    """The number of the line that each sample shows, from 1, or 7 if it contradicts all; if unknown, that before it."""
    num_samples = len(records)
    if not lines:
        return np.zeros(num_samples, int)
    labels = np.where(np.all([line.contradicted(records) for line in lines], 0), 7, 0)
    for number, line in reversed(list(enumerate(lines, 1))):
        labels[line.supports] = number
    known = np.flatnonzero(labels)
    if not known.size:
        return labels
    nearest = np.searchsorted(known, np.arange(num_samples), "right") - 1
    return labels[known[np.maximum(nearest, 0)]]
