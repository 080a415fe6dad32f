"""Screen recordings: few levels, flat areas, edges along rows and columns, thin strokes, pixels that stay as they are.

None of these signs alone tells a screen from a drawing or a title. So the score is their product, each on a ramp from
what footage and drawings show (0) to what recorded screens show (1). A video that plays within the screen, or a page
that scrolls all the time, is missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

STRONG_STEP = 24
"""Step of luma, 0-255, of a strong edge."""
SAME_LEVELS = 1
"""Steps of luma up to this are none: the picture is flat."""
STILL_LEVELS = 2
"""A pixel that changes by no more than this since the frame before is still."""
STROKE_PX, STROKE_LEVELS, PAPER_LEVELS = 4, 40, 6
"""A stroke differs by STROKE_LEVELS from the pixels STROKE_PX to its left and right, and these differ by PAPER_LEVELS
at most: letters and lines on an even ground."""
COMMON_LEVELS = 8
"""How many of the commonest levels of luma are counted."""
RAMPS = {
    "flat": (0.75, 0.88),
    "common": (0.75, 0.88),
    "edges": (0.008, 0.016),
    "axial": (0.45, 0.65),
    "strokes": (0.0004, 0.002),
    "still": (0.97, 0.995),
}
"""Means of a file, measured here. Flat, common, still: footage 0.44 to 0.84, 0.11 to 0.64, 0.27 to 0.92; an animation
on black 0.95, 0.96, 0.97; slides 0.96, 0.97, 1.0; synthetic desktops, x264 CRF 20 and 30, 0.87 to 0.90, 0.89 to 0.94,
1.0. Strokes: synthetic shapes at 1280x720 under 0.0005, slides 0.005, desktops 0.003 to 0.006."""


@dataclass(frozen=True)
class ScreenSigns:
    """Shares of a frame's pixels.

    Without a step; among the eight commonest levels of luma (with their neighbours); with a strong step, and of those
    the ones that step along one axis only; in thin strokes; and unchanged since the frame before.
    """

    flat: float
    common: float
    edges: float
    axial: float
    strokes: float
    still: float


def screen_signs(strips: Sequence[np.ndarray], previous: Sequence[np.ndarray]) -> ScreenSigns | None:
    """What strips of full-size luma, (rows, columns) uint8, and the frame before show; None if they are too small."""
    if min(min(strip.shape) for strip in strips) <= 2 * STROKE_PX:
        return None
    num_flat = num_edges = num_axial = num_strokes = num_still = num_inner = num_pixels = 0
    histogram = np.zeros(256)
    for strip, before in zip(strips, previous, strict=True):
        inner = strip[1:, 1:]
        across, down = cv2.absdiff(inner, strip[1:, :-1]), cv2.absdiff(inner, strip[:-1, 1:])
        larger, lesser = cv2.max(across, down), cv2.min(across, down)
        strong = cv2.threshold(larger, STRONG_STEP, 255, cv2.THRESH_BINARY)[1]
        slanted = cv2.compare(cv2.add(cv2.add(lesser, lesser), cv2.add(lesser, lesser)), larger, cv2.CMP_GT)
        num_edges += cv2.countNonZero(strong)
        num_axial += cv2.countNonZero(cv2.subtract(strong, slanted))
        num_strokes += cv2.countNonZero(_strokes(strip))
        num_flat += inner.size - _num_above(larger, SAME_LEVELS)
        num_still += strip.size - _num_above(cv2.absdiff(strip, before), STILL_LEVELS)
        num_inner, num_pixels = num_inner + inner.size, num_pixels + strip.size
        histogram += cv2.calcHist([strip], [0], None, [256], [0, 256]).ravel()
    return ScreenSigns(
        flat=num_flat / num_inner,
        common=_common(histogram) / num_pixels,
        edges=num_edges / num_inner,
        axial=num_axial / max(1, num_edges),
        strokes=num_strokes / num_pixels,
        still=num_still / num_pixels,
    )


def screen_score(signs: ScreenSigns) -> float:
    """From 0 to 1, how much a clip looks like a recorded screen, by the mean signs of its frames."""
    score = 1.0
    for name, (nothing, everything) in RAMPS.items():
        score *= min(max((getattr(signs, name) - nothing) / (everything - nothing), 0.0), 1.0)
    return score


def _strokes(strip: np.ndarray) -> np.ndarray:
    """Where thin strokes are, nonzero uint8."""
    left, middle, right = strip[:, : -2 * STROKE_PX], strip[:, STROKE_PX:-STROKE_PX], strip[:, 2 * STROKE_PX :]
    stands_out = cv2.min(cv2.absdiff(middle, left), cv2.absdiff(middle, right))
    ink = cv2.threshold(stands_out, STROKE_LEVELS, 255, cv2.THRESH_BINARY)[1]
    uneven = cv2.threshold(cv2.absdiff(left, right), PAPER_LEVELS, 255, cv2.THRESH_BINARY)[1]
    return cv2.subtract(ink, uneven)


def _num_above(plane: np.ndarray, level: int) -> int:
    return cv2.countNonZero(cv2.threshold(plane, level, 255, cv2.THRESH_BINARY)[1])


def _common(histogram: np.ndarray) -> float:
    """Pixels at the commonest levels, each taken with its two neighbours and only once."""
    total, left = 0.0, np.pad(histogram, 1)
    for _ in range(COMMON_LEVELS):
        level = 1 + int(left[1:-1].argmax())
        total += left[level - 1 : level + 2].sum()
        left[level - 1 : level + 2] = 0
    return float(total)
