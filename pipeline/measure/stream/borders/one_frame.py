"""The borders of one frame, found while it passes, for measures that leave the borders out.

A single frame does not show for sure what is border: a night scene has dark margins too. So these are quick answers,
each for one purpose. The borders of a clip are found from many of its frames together (`evidence.py`).

`lit_area` is what a frame shows between its first and last lines that are not dark. `find_bars` finds flat bars of any
one level, which may carry a logo, and keeps to them while the picture beside them is too dark to show their edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

BAR_LEVELS = 3
"""How far a bar's pixels may differ from the level of the frame's corner, of 255, for the encoder's noise."""
BAR_FRAC = 0.4
"""A bar is at most this share of its side."""
STRAY_FRAC = 0.3
"""Share of a bar's line that may be something else, such as a logo."""
PICTURE_FRAC = 0.5
"""Share of the line beside a bar that must be picture."""
EDGE_PX = 2
"""Lines between a bar and the picture that may be neither."""
BLENDED_PX = 1
"""Lines beside a bar that mix bar and picture."""


class Extent(NamedTuple):
    """Lines [first, stop), the first and the last of which are marked, with `num_marked` marked ones in all."""

    first: int
    stop: int
    num_marked: int


def extent(marked: np.ndarray) -> Extent:
    """From the first to the last true value of (n,) bool; empty if there is none."""
    found = np.flatnonzero(marked)
    return Extent(int(found[0]), int(found[-1]) + 1, len(found)) if len(found) else Extent(0, 0, 0)


def lit_area(luma: np.ndarray, level: float) -> tuple[Extent, Extent]:
    """Rows and columns of (h, w) uint8 luma from the first to the last one with a pixel brighter than `level`."""
    return extent(luma.max(axis=1) > level), extent(luma.max(axis=0) > level)


@dataclass(frozen=True)
class Bars:
    """Flat bars of one level: how many lines of (h, w) luma they take above and below, left and right."""

    level: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    def inside(self, plane: np.ndarray, reduced: int = 1) -> np.ndarray:
        """The picture between the bars, less the lines that mix bar and picture.

        Args:
            plane: a plane of the frame, each side reduced by the factor `reduced`.
        """
        (top, bottom), (left, right) = (
            tuple(math.ceil((bar and bar + BLENDED_PX) / reduced) for bar in pair) for pair in (self.rows, self.columns)
        )
        return plane[top : plane.shape[0] - bottom, left : plane.shape[1] - right]


def find_bars(luma: np.ndarray, before: Bars | None = None) -> Bars | None:
    """The bars of a frame, or None; where it is too dark at their edge to tell, those of the frame `before`."""
    level = int(luma[0, 0])
    if any(abs(int(corner) - level) > BAR_LEVELS for corner in (luma[0, -1], luma[-1, 0], luma[-1, -1])):
        return None
    picture = cv2.absdiff(luma, np.full_like(luma, level)) > BAR_LEVELS
    of_rows, of_columns = picture.mean(axis=1), picture.mean(axis=0)
    rows, columns = _bar_lines(of_rows), _bar_lines(of_columns)
    if any(rows) or any(columns):
        return Bars(level, rows, columns)
    if before and abs(before.level - level) <= BAR_LEVELS:
        bars = _lines(of_rows, before.rows), _lines(of_columns, before.columns)
        if all((line <= STRAY_FRAC).all() for pair in bars for line in pair):
            return before
    return None


def _bar_lines(shares: np.ndarray) -> tuple[int, int]:
    """How many lines at the beginning and at the end are bars, by the share of picture in each line; both or none.

    A bar's edge is sharp. What a small thing on a flat ground leaves free at its sides is no bar, nor is the dark of a
    night.
    """
    picture = extent(shares >= PICTURE_FRAC)
    if not picture.num_marked:
        return 0, 0
    ends = picture.first, len(shares) - picture.stop
    flat = (max(ends[0] - EDGE_PX, 0), max(ends[1] - EDGE_PX, 0))
    sharp = all((bar <= STRAY_FRAC).all() for bar in _lines(shares, flat))
    return ends if sharp and min(ends) > 0 and max(ends) <= BAR_FRAC * len(shares) else (0, 0)


def _lines(shares: np.ndarray, ends: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return shares[: ends[0]], shares[len(shares) - ends[1] :]
