"""Means over square cells of a picture: noise averages out within a cell, and a small thing that moves fills one."""

from __future__ import annotations

import cv2
import numpy as np


def cell_means(plane: np.ndarray, cell_px: int) -> np.ndarray:
    """Mean of each cell of `cell_px` x `cell_px` pixels, (h, w) to (h // cell_px, w // cell_px), one each way at least.

    What is left over at the right and at the foot is left out. The type stays: means of uint8 are rounded.
    """
    rows, columns = max(plane.shape[0] // cell_px, 1), max(plane.shape[1] // cell_px, 1)
    whole = plane[: rows * cell_px, : columns * cell_px]
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
