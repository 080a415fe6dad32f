"""Levels of luma, from 0 (black) to 1 (white) whatever the video's range: brightness, contrast, clipped pixels."""

from __future__ import annotations

import cv2
import numpy as np

LIMITED_RANGE = (16.0, 235.0)
"""Luma of black and white in studio-range video (ITU-R BT.601); full-range formats use 0 and 255."""
FULL_RANGE = (0.0, 255.0)
CLIPPED_FRAC = 0.01
"""Pixels this near to black or white, as a share of the range, count as clipped."""


def black_and_white(full_range: bool) -> tuple[float, float]:
    """Luma of black and of white."""
    return FULL_RANGE if full_range else LIMITED_RANGE


def mean_brightness(luma: np.ndarray, *, full_range: bool) -> float:
    """Mean of (h, w) uint8 luma, scaled and clipped to [0, 1]."""
    black, white = black_and_white(full_range)
    return min(max((cv2.mean(luma)[0] - black) / (white - black), 0.0), 1.0)


def rms_contrast(luma: np.ndarray, *, full_range: bool) -> float:
    """Standard deviation of (h, w) uint8 luma, in [0, 1] of the range (Peli 1990)."""
    black, white = black_and_white(full_range)
    return float(cv2.meanStdDev(luma)[1][0, 0]) / (white - black)


def clipped_frac(luma: np.ndarray, *, full_range: bool) -> float:
    """Share of (h, w) uint8 pixels at or beyond black or white, within CLIPPED_FRAC of the range."""
    black, white = black_and_white(full_range)
    margin = CLIPPED_FRAC * (white - black)
    between = cv2.inRange(luma, np.array([int(black + margin) + 1]), np.array([int(np.ceil(white - margin)) - 1]))
    return 1.0 - cv2.countNonZero(between) / luma.size
