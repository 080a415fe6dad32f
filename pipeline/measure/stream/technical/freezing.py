"""Frames that repeat the one before, and stretches in which nothing changes.

The change between two frames is the largest mean difference over cells of 8x8 pixels of the reduced luma. A re-encoded
repeat is never exact. So a frame also counts as a repeat when it changes far less than the frames on both sides of it,
as with pulldown. Measured on four clips of footage whose every fourth frame was shown twice, encoded by x264 (CRF 18,
23, 28), VP9 (CRF 35) and MPEG-4 (quantiser 3 to 12): 95% of the repeats were found, and 0.8% of the other frames were
taken for one. At x264's CRF 35, 46% of the repeats were found.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.measure.cells import cell_means

CELL_PX = 8
SAME_LEVELS = 0.75
"""Below this change, in levels of luma, a frame is a repeat whatever is around it."""
REPEAT_LEVELS, REPEAT_RATIO, NEIGHBOURS = 8.0, 0.45, 2
"""Below REPEAT_LEVELS it is one if it changes by less than this share of the largest change of NEIGHBOURS frames on
either side."""
FROZEN_LEVELS = 3.0
"""A picture is frozen until a cell differs by this from the first frozen frame; codec noise stays below."""


def largest_change(luma: np.ndarray, other: np.ndarray) -> float:
    """Largest mean absolute difference over cells of two (h, w) uint8 pictures, in levels of luma."""
    return float(cell_means(cv2.absdiff(luma, other).astype(np.float32), CELL_PX).max())


def repeats(changes: np.ndarray) -> np.ndarray:
    """Which frames repeat the one before, (n,) bool, from the changes (n,) of consecutive frames of one shot."""
    if len(changes) == 0:
        return np.zeros(0, bool)
    padded = np.concatenate([np.full(NEIGHBOURS, -np.inf), changes, np.full(NEIGHBOURS, -np.inf)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS).max(axis=1)
    before, after = windows[: len(changes)], windows[NEIGHBOURS + 1 : NEIGHBOURS + 1 + len(changes)]
    relative = changes < REPEAT_RATIO * np.minimum(before, after)
    return (changes < SAME_LEVELS) | (relative & (changes < REPEAT_LEVELS))


def longest_frozen_us(times_us: np.ndarray, frozen_since: np.ndarray) -> int:
    """Longest time without change within a span, from its frames' times and the frames at which their pictures froze.

    Args:
        times_us: (n,) int64.
        frozen_since: (n,) index of a frame of the span; below 0 if the picture froze before the span began.
    """
    return int((times_us - times_us[np.maximum(frozen_since, 0)]).max())
