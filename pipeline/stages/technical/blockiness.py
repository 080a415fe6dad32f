"""Blockiness: luma steps across the edges of the codec's 8-pixel grid over those within its blocks.

After Wang, Sheikh & Bovik (2002) and Muijs & Kirenko (2005), who compare the differences at the grid with the rest. A
step is held at MAX_STEP first: coding makes small ones, the edges of things make large ones and know no grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

GRID_PX = 8
MAX_STEP = np.uint8(24)
STEP_FLOOR = 0.25
"""Levels added to both means, so that a picture without any steps has the ratio 1."""


def blockiness(strips: Sequence[np.ndarray]) -> float:
    """Ratio of the mean step across the grid to the mean step off it; 1 without blocks.

    Args:
        strips: (rows, columns) uint8 full-size luma, each cut at a multiple of GRID_PX both ways.
    """
    sums, counts = np.zeros(GRID_PX), np.zeros(GRID_PX)
    for strip in strips:
        _add(sums, counts, cv2.absdiff(strip[:, 1:], strip[:, :-1]), axis=0)
        _add(sums, counts, cv2.absdiff(strip[1:], strip[:-1]), axis=1)
    at_grid = sums[-1] / max(counts[-1], 1)
    off_grid = sums[:-1].sum() / max(counts[:-1].sum(), 1)
    return float((at_grid + STEP_FLOOR) / (off_grid + STEP_FLOOR))


def _add(sums: np.ndarray, counts: np.ndarray, steps: np.ndarray, axis: int) -> None:
    """Add steps to the sums of their eight positions; the last one is the step into the next block."""
    if steps.size == 0:
        return
    lines = cv2.reduce(np.minimum(steps, MAX_STEP), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    per_line = steps.shape[axis]
    for position in range(GRID_PX):
        sums[position] += lines[position::GRID_PX].sum()
        counts[position] += per_line * len(lines[position::GRID_PX])
