"""Black frames, by the two thresholds of FFmpeg's blackdetect: how dark a pixel, and how many of them."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.measure.stream.technical.levels import BLACK, WHITE

DARK_FRAC = 0.10
"""A pixel is black below this share of the luma range (blackdetect's pixel_black_th)."""
BLACK_PIXELS_FRAC = 0.98
"""A frame is black if at least this share of its pixels is (blackdetect's picture_black_ratio_th)."""


def is_black(luma: np.ndarray) -> bool:
    """Whether (h, w) uint8 luma is a black frame."""
    brighter = cv2.threshold(luma, BLACK + DARK_FRAC * (WHITE - BLACK), 255, cv2.THRESH_BINARY)[1]
    return cv2.countNonZero(brighter) <= (1.0 - BLACK_PIXELS_FRAC) * luma.size
