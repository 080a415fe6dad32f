"""Levels of luma, from 0 (black) to 1 (white): brightness, contrast, clipped pixels."""

from __future__ import annotations

import cv2
import numpy as np

BLACK, WHITE = 16.0, 235.0
"""Luma of black and white (ITU-R BT.601); frames come in this range whatever the video's is."""
CLIPPED_FRAC = 0.01
"""Pixels this near to black or white, as a share of the range, count as clipped."""


def mean_brightness(luma: np.ndarray) -> float:
    """Mean of (h, w) uint8 luma, scaled and clipped to [0, 1]."""
    return min(max((cv2.mean(luma)[0] - BLACK) / (WHITE - BLACK), 0.0), 1.0)


def rms_contrast(luma: np.ndarray) -> float:
    """Standard deviation of (h, w) uint8 luma, in [0, 1] of the range (Peli 1990)."""
    return float(cv2.meanStdDev(luma)[1][0, 0]) / (WHITE - BLACK)


def clipped_frac(luma: np.ndarray) -> float:
    """Share of (h, w) uint8 pixels at or beyond black or white, within CLIPPED_FRAC of the range."""
    margin = CLIPPED_FRAC * (WHITE - BLACK)
    between = cv2.inRange(luma, np.array([int(BLACK + margin) + 1]), np.array([int(np.ceil(WHITE - margin)) - 1]))
    return 1.0 - cv2.countNonZero(between) / luma.size
