"""Whether one picture becomes the next by a shift, a zoom and a turn of the whole, and nothing within it moves.

The similarity between two pictures (`similarity.py`) is found in steps from coarse to fine. The difference that it
leaves is averaged over cells: the worst cell tells whether anything moves by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.measure.cells import cell_means
from pipeline.measure.stream.similarity import step_to_picture, warped

FINE_SIDE_PX = 128
"""Longer side of the finest pictures that are compared."""
STEPS_PER_LEVEL = (3, 2, 1)
"""From coarse (32 px for the longer side) to fine, each twice as large."""
HOPELESS_LEVELS = 40.0
"""Difference of a cell, of 255, after a coarser level, from which the fit will not succeed at the finest."""
CELL_PX = 8
EDGE_CELLS = 1
"""Cells left out at each border, where a drift brings in new content."""


@dataclass(frozen=True)
class Drift:
    """How one picture became the next.

    `left_over` is the mean absolute difference of luma that the similarity leaves in the worst cell, of 255. `motion`
    is the shift right and down, and how far zoom and turn move the end of the longer side, in pixels at FINE_SIDE_PX.
    """

    left_over: float
    motion: tuple[float, float, float, float]


def drift_between(before: np.ndarray, after: np.ndarray) -> Drift:
    """The similarity that takes one (h, w) uint8 luma to another of the same size, and what it leaves over."""
    motion, left = np.zeros(4), 0.0
    for old, new, steps in zip(_pyramid(before), _pyramid(after), STEPS_PER_LEVEL, strict=True):
        if left > HOPELESS_LEVELS:
            break
        for _ in range(steps):
            motion += step_to_picture(warped(old, motion), new)
        left = _left_over(warped(old, motion), new)
    dx, dy, zoom, turn = (-float(value) * FINE_SIDE_PX / 2 for value in motion)
    return Drift(left, (dx, dy, zoom, turn))


def _left_over(old: np.ndarray, new: np.ndarray) -> float:
    """Mean absolute difference of the worst cell that is not at the border."""
    cells = cell_means(cv2.absdiff(old, new), CELL_PX)
    inner = cells[EDGE_CELLS:-EDGE_CELLS, EDGE_CELLS:-EDGE_CELLS]
    return float(inner.max()) if inner.size else float(cells.max())


def _pyramid(luma: np.ndarray) -> list[np.ndarray]:
    """From coarse to fine, float32, the finest FINE_SIDE_PX long."""
    factor = FINE_SIDE_PX / max(luma.shape)
    size = max(8, round(luma.shape[1] * factor)), max(8, round(luma.shape[0] * factor))
    levels: list[np.ndarray] = [cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32)]
    while len(levels) < len(STEPS_PER_LEVEL):
        finer = levels[0]
        size = max(4, finer.shape[1] // 2), max(4, finer.shape[0] // 2)
        levels.insert(0, cv2.resize(finer, size, interpolation=cv2.INTER_AREA))
    return levels
