"""Which frames of a clip a captioner sees, and at what size: spread over the whole clip, in its aspect ratio."""

from __future__ import annotations

import math

import cv2
import numpy as np


def even_indices(num_have: int, num_want: int) -> list[int]:
    """Positions of `num_want` frames spread evenly over `num_have`; with fewer than wanted, frames repeat."""
    return [(2 * i + 1) * num_have // (2 * num_want) for i in range(num_want)]


def size_within(width: int, height: int, max_pixels_px: int, grid_px: int) -> tuple[int, int]:
    """The size on a grid, within a budget of pixels, that keeps a picture's aspect ratio best.

    The cost of a size is the absolute logarithm of the change in aspect ratio, plus a quarter of the logarithm of the
    share of the budget left unused: twice as wide costs as much as a sixteenth of the pixels.

    Args:
        width, height: of the picture, in pixels.
        max_pixels_px: the budget; the size is one grid square at least.
        grid_px: both sides are multiples of it.
    Returns:
        (width, height) in pixels.
    """
    cells = max(max_pixels_px // grid_px**2, 1)
    wanted = math.log(width / height)

    def cost(columns: int, rows: int) -> float:
        return abs(math.log(columns / rows) - wanted) + 0.25 * math.log(cells / (columns * rows))

    # For each number of rows the best number of columns is the exact one rounded up or down, or the most that fit.
    options = set()
    for rows in range(1, cells + 1):
        exact = rows * width / height
        options |= {(min(max(c, 1), cells // rows), rows) for c in (math.floor(exact), math.ceil(exact))}
    columns, rows = min(sorted(options), key=lambda size: cost(*size))
    return columns * grid_px, rows * grid_px


def fit_frames(frames: np.ndarray, num_frames: int, max_pixels_px: int, grid_px: int) -> np.ndarray:
    """`num_frames` of a clip's frames, resized to the captioner's size; by area if that is smaller.

    Args:
        frames: (T, H, W, 3) uint8, T >= 1.
    Returns:
        (num_frames, H', W', 3) uint8.
    """
    height, width = frames.shape[1:3]
    size = size_within(width, height, max_pixels_px, grid_px)
    chosen = frames[even_indices(len(frames), num_frames)]
    if size == (width, height):
        return chosen
    shrinks = size[0] <= width and size[1] <= height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in chosen])
