"""Whether one picture becomes the next by a shift, a zoom and a turn of the whole, and nothing within it moves.

The similarity between two pictures is found on their luma by Gauss-Newton steps from coarse to fine (Lucas & Kanade
1981), weighted against what does not follow it (Geman & McClure 1987). What it leaves over is read in cells: the worst
one tells whether anything moves by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FINE_SIDE_PX = 128
STEPS_A_LEVEL = (3, 2, 1)
"""From coarse (32 px for the longer side) to fine, each twice as large."""
HOPELESS_LEVELS = 40.0
"""A picture that differs by this in a cell after the coarser levels will not come to rest at the finest."""
OUTLIER_LEVELS = 6.0
CELL_PX = 8
EDGE_CELLS = 1
"""Cells left out at each border, where a drift brings in what was not seen before."""


@dataclass(frozen=True)
class Drift:
    """How one picture became the next.

    `left_over` is the mean absolute luma difference of the worst cell, in levels; `motion` the shift right and down,
    and the motion that zoom and turn make at the end of the longer side, in pixels at FINE_SIDE_PX.
    """

    left_over: float
    motion: tuple[float, float, float, float]


def drift_between(before: np.ndarray, after: np.ndarray) -> Drift:
    """The similarity that takes one (h, w) uint8 luma to another of the same size, and what it leaves over."""
    motion, left = np.zeros(4), 0.0
    for old, new, steps in zip(_pyramid(before), _pyramid(after), STEPS_A_LEVEL, strict=True):
        if left > HOPELESS_LEVELS:
            break
        axes = _axes(old.shape)
        for _ in range(steps):
            motion += _step(_warped(old, motion), new, axes)
        left = _left_over(_warped(old, motion), new)
    dx, dy, zoom, turn = (-float(value) * FINE_SIDE_PX / 2 for value in motion)
    return Drift(left, (dx, dy, zoom, turn))


def _left_over(old: np.ndarray, new: np.ndarray) -> float:
    """Mean absolute difference of the worst cell that is not at the border."""
    height, width = new.shape
    rows, columns = max(1, height // CELL_PX), max(1, width // CELL_PX)
    difference = cv2.absdiff(old, new)[: rows * CELL_PX, : columns * CELL_PX]
    cells = cv2.resize(difference, (columns, rows), interpolation=cv2.INTER_AREA)
    inner = cells[EDGE_CELLS : rows - EDGE_CELLS, EDGE_CELLS : columns - EDGE_CELLS]
    return float(inner.max()) if inner.size else float(cells.max())


def _pyramid(luma: np.ndarray) -> list[np.ndarray]:
    """From coarse to fine, float32, the finest FINE_SIDE_PX long."""
    factor = FINE_SIDE_PX / max(luma.shape)
    size = max(8, round(luma.shape[1] * factor)), max(8, round(luma.shape[0] * factor))
    levels: list[np.ndarray] = [cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32)]
    while len(levels) < len(STEPS_A_LEVEL):
        finer = levels[0]
        size = max(4, finer.shape[1] // 2), max(4, finer.shape[0] // 2)
        levels.insert(0, cv2.resize(finer, size, interpolation=cv2.INTER_AREA))
    return levels


def _axes(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """x and y about the middle, in halves of the longer side."""
    height, width = shape
    unit = max(height, width) / 2
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / unit
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / unit
    return x[None, :], y[:, None]


def _warped(old: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """`old` as it looks after a motion: shift x and y, zoom and turn, in halves of the longer side."""
    height, width = old.shape
    unit = max(height, width) / 2
    dx, dy, zoom, turn = motion
    cx, cy = (width - 1) / 2, (height - 1) / 2
    source = np.array(
        [
            [1 + zoom, -turn, dx * unit - zoom * cx + turn * cy],
            [turn, 1 + zoom, dy * unit - turn * cx - zoom * cy],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(old, source, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _step(warped: np.ndarray, new: np.ndarray, axes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The Gauss-Newton step that brings `warped` nearer to `new`, (4,)."""
    unit = max(new.shape) / 2
    gx = cv2.Sobel(warped, cv2.CV_32F, 1, 0, scale=unit / 8)
    gy = cv2.Sobel(warped, cv2.CV_32F, 0, 1, scale=unit / 8)
    x, y = axes
    basis = np.stack([gx, gy, x * gx + y * gy, x * gy - y * gx]).reshape(4, -1)
    error = (new - warped).ravel()
    weights = 1.0 / (1.0 + (error / OUTLIER_LEVELS) ** 2) ** 2
    weighted = basis * weights
    normal = weighted @ basis.T + np.eye(4) * 1e-3 * unit**2
    return np.linalg.solve(normal.astype(np.float64), (weighted @ error).astype(np.float64))
