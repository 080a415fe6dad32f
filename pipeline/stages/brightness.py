"""Brightness: mean luma, from 0 (black) to 1 (white) whatever the video's range."""

from __future__ import annotations

import numpy as np

LIMITED_RANGE = (16.0, 235.0)
"""Luma of black and white in studio-range video (ITU-R BT.601); full-range formats use 0 and 255."""


def mean_brightness(luma: np.ndarray, *, full_range: bool) -> float:
    """Mean of (h, w) uint8 luma, scaled and clipped to [0, 1]."""
    low, high = (0.0, 255.0) if full_range else LIMITED_RANGE
    return float(np.clip((luma.mean() - low) / (high - low), 0.0, 1.0))
