"""Blockiness: luma steps across the edges of the codec's 8-pixel grid, over those within its blocks.

After Wang, Sheikh & Bovik (2002) and Muijs & Kirenko (2005), who compare the differences at the grid with the rest. A
step counts as MAX_STEP at most: coding makes small steps, while the edges of things make large ones anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

GRID_PX = 8
MAX_STEP = 24
STEP_FLOOR = 0.25
"""Levels added to both means, so that a picture without any steps has the ratio 1."""


def blockiness(strips: Sequence[np.ndarray]) -> float:
    """Ratio of the mean step across the grid to the mean step off it; 1 without blocks.

    Args:
        strips: (rows, columns) uint8 full-size luma, each cut at a multiple of GRID_PX both ways.
    """
    at_grid, off_grid = _Mean(), _Mean()
    for strip in strips:
        _add(at_grid, off_grid, cv2.absdiff(strip[:, 1:], strip[:, :-1]), axis=0)
        _add(at_grid, off_grid, cv2.absdiff(strip[1:], strip[:-1]), axis=1)
    return (at_grid.value + STEP_FLOOR) / (off_grid.value + STEP_FLOOR)


@dataclass
class _Mean:
    total: int = 0
    count: int = 0

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else 0.0


def _add(at_grid: _Mean, off_grid: _Mean, steps: np.ndarray, axis: int) -> None:
    """Count steps along an axis by whether they lead into the next block."""
    if steps.size == 0:
        return
    held = cv2.threshold(steps, MAX_STEP, MAX_STEP, cv2.THRESH_TRUNC)[1]
    lines = cv2.reduce(held, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    into_next = lines[GRID_PX - 1 :: GRID_PX]
    crossing = int(into_next.sum())
    at_grid.total += crossing
    at_grid.count += len(into_next) * steps.shape[axis]
    off_grid.total += int(lines.sum()) - crossing
    off_grid.count += (len(lines) - len(into_next)) * steps.shape[axis]
