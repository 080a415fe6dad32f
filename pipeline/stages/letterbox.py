"""Letterbox and pillarbox: rows and columns at the frame's edge that are dark in every frame of a clip."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

MAX_BAR_FRAC = 0.45
"""A bar on one side is at most this share of the frame; beyond, the picture is dark, not barred."""


MIN_PICTURE_LUMA = 60
"""Unless 1% of the frame is brighter than this, dark edges are as likely night as bars."""


def bars_px(luma: np.ndarray, bar_luma: int) -> tuple[int, int, int, int] | None:
    """Dark edge rows and columns of one frame: top, bottom, left, right; None if the picture is too dark to tell.

    Args:
        luma: (H, W) uint8.
        bar_luma: luma that no pixel of a bar exceeds, but for the 1% that compression may lift.
    """
    luma = np.ascontiguousarray(luma)
    if cv2.countNonZero(_brighter(luma, MIN_PICTURE_LUMA)) < 0.01 * luma.size:
        return None
    bright = _brighter(luma, bar_luma)
    rows = np.flatnonzero(cv2.reduce(bright, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F) > 0.01 * 255)
    columns = np.flatnonzero(cv2.reduce(bright, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F) > 0.01 * 255)
    if rows.size == 0 or columns.size == 0:
        return None
    height, width = luma.shape
    return int(rows[0]), int(height - 1 - rows[-1]), int(columns[0]), int(width - 1 - columns[-1])


def _brighter(luma: np.ndarray, level: int) -> np.ndarray:
    return cv2.threshold(luma, level, 255, cv2.THRESH_BINARY)[1]


def content_box(bars: Sequence[tuple[int, int, int, int]], width: int, height: int) -> list[int]:
    """The box that no frame's picture leaves: x, y, width, height.

    A bar must be there in every frame, so each side takes the least over frames. Without any frame that shows
    something, or with a bar too wide to be one, that side counts as picture.
    """
    if not bars:
        return [0, 0, width, height]
    top, bottom, left, right = (min(side) for side in zip(*bars, strict=True))
    top, bottom = (0 if side > MAX_BAR_FRAC * height else side for side in (top, bottom))
    left, right = (0 if side > MAX_BAR_FRAC * width else side for side in (left, right))
    return [left, top, width - left - right, height - top - bottom]
