"""Interlacing: whether a frame weaves two fields of different times together, which shows as combing.

Where something moves, every other row of such a frame is of another time. A row is then outside the range of its two
neighbours, which are of the other field, by far more than outside the range of the next rows of its own field. In a
progressive picture, whose detail grows with distance, it is not. FFmpeg's idet and the comb filters of inverse telecine
compare the same two distances. Fixed patterns of one-row lines look the same, so a block must also have changed since
the frame before.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.measure.cells import cell_means

BLOCK_PX = 16
LEAST_COMBING = 4
"""Mean levels by which a block's rows must leave the range of their neighbours; noise and grain stay below."""
RATIO = 2.5
"""How many times as much as from the rows of their own field."""
LEAST_BLOCKS_FRAC = 0.004
"""A frame is combed if at least this share of its blocks is; one small moving thing is enough."""


def is_combed(strips: Sequence[np.ndarray], previous: Sequence[np.ndarray] | None) -> bool:
    """Whether a frame shows combing.

    Args:
        strips: (rows, columns) uint8 full-size luma in stored orientation.
        previous: the same strips of the frame before; without them blocks need not have changed.
    """
    combed, num_blocks = 0, 0
    for index, strip in enumerate(strips):
        if strip.shape[0] < BLOCK_PX + 4 or strip.shape[1] < BLOCK_PX:
            continue
        found = combed_blocks(strip, None if previous is None else previous[index])
        combed, num_blocks = combed + int(found.sum()), num_blocks + found.size
    return num_blocks > 0 and combed >= max(2, LEAST_BLOCKS_FRAC * num_blocks)


def combed_blocks(strip: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
    """Which blocks of a strip, less its two outermost rows on each side, are combed, (rows, columns) bool."""
    middle = strip[2:-2]
    near = _block_means(_beyond(middle, strip[1:-3], strip[3:-1]))
    combed = near >= LEAST_COMBING
    if not combed.any():
        return combed
    combed &= near > RATIO * _block_means(_beyond(middle, strip[:-4], strip[4:]))
    if previous is not None:
        combed &= 2.0 * _block_means(cv2.absdiff(middle, previous[2:-2])) >= near
    return combed


def _beyond(row: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """How far each pixel is outside the range of the one above and the one below, uint8."""
    over = cv2.subtract(row, cv2.max(above, below))
    under = cv2.subtract(cv2.min(above, below), row)
    return cv2.max(over, under)


def _block_means(plane: np.ndarray) -> np.ndarray:
    return cell_means(plane, BLOCK_PX).astype(np.float32)
