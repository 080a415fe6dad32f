"""Countdown leaders: circles about the middle of a grey picture, cross hairs through it, and a hand that sweeps around.

The picture is unrolled about its middle, so that a circle becomes a line across all angles, a cross hair one along all
radii, and the sweep a block of angles that changed since the sample before. A leader has a circle, something in the
middle of it, and either cross hairs or a sweep. The film leaders of the Academy and SMPTE, and what imitates them, are
found; digits alone on a plain ground, or a leader away from the middle of the picture, are not.
"""

from __future__ import annotations

import cv2
import numpy as np

NUM_ANGLES = 128
LEAST_SIDE_PX = 32
"""Smaller pictures have no room for circles."""
MAX_CHROMA_SPREAD = 8.0
"""Standard deviation of Cb and of Cr, in levels: leaders are grey, or of one tint."""
EDGE_LEVELS = 15.0
"""Luma step, of two pixels, that counts as an edge."""
CIRCLE_FRAC, CIRCLE_RADII = 0.85, (0.35, 0.97)
"""Share of the angles at which a circle shows its edge, and the range of its radius over half the shorter side."""
HAIR_LEVELS, HAIR_FRAC, NUM_HAIRS = 10.0, 0.75, 4
"""How far a hair differs from both sides, over what share of the radii, and at how many right angles."""
SWEPT_LEVELS, SWEPT_FRAC, STILL_FRAC = 20.0, 0.8, 0.15
"""A swept angle has changed at most radii; one that is not, at few."""
SWEEP_FRACS = (0.03, 0.9)
"""Share of the angles that a sweep covers between two samples."""
UNDECIDED_FRAC = 0.05
"""Share of the angles, at the two edges of the sweep, that are neither."""
MIDDLE_FRAC, MIDDLE_LEVELS = 0.3, 12.0
"""The middle, over half the shorter side, and the standard deviation that a digit gives it."""


def shows_countdown(luma: np.ndarray, blue: np.ndarray, red: np.ndarray, before: np.ndarray | None) -> bool:
    """Whether a reduced picture looks like a countdown leader.

    Args:
        luma: (h, w) uint8; `blue` and `red`, its chroma planes, may be smaller.
        before: luma of the sample before, or None.
    """
    if min(luma.shape) < LEAST_SIDE_PX:
        return False
    if any(cv2.meanStdDev(chroma)[1][0, 0] > MAX_CHROMA_SPREAD for chroma in (blue, red)):
        return False
    unrolled = unroll(luma)
    if not has_circle(unrolled):
        return False
    if unrolled[:, : int(MIDDLE_FRAC * unrolled.shape[1])].std() < MIDDLE_LEVELS:
        return False
    return has_cross_hairs(unrolled) or (before is not None and has_sweep(unrolled, unroll(before)))


def unroll(luma: np.ndarray) -> np.ndarray:
    """(NUM_ANGLES, radii) float32: luma by angle, clockwise from the right, and by radius in pixels from the middle."""
    height, width = luma.shape
    radius = min(height, width) // 2
    middle = (width - 1) / 2, (height - 1) / 2
    return cv2.warpPolar(luma, (radius, NUM_ANGLES), middle, radius, cv2.WARP_POLAR_LINEAR).astype(np.float32)


def has_circle(unrolled: np.ndarray) -> bool:
    """Whether nearly all angles have an edge at one radius, give or take a pixel."""
    steps = np.abs(unrolled[:, 2:] - unrolled[:, :-2])
    near = cv2.dilate(steps, np.ones((1, 3), np.float32))
    share = (near >= EDGE_LEVELS).mean(axis=0)
    first, last = (int(frac * unrolled.shape[1]) for frac in CIRCLE_RADII)
    return bool((share[first:last] >= CIRCLE_FRAC).any())


def has_cross_hairs(unrolled: np.ndarray) -> bool:
    """Whether lines run from the middle to the right, down, to the left and up, through nearly all radii."""
    outer = unrolled[:, int(MIDDLE_FRAC * unrolled.shape[1]) :]
    found = 0
    for quarter in range(4):
        at = quarter * NUM_ANGLES // 4
        hair = outer[[at - 1, at, (at + 1) % NUM_ANGLES]]
        sides = outer[at - 5], outer[(at + 5) % NUM_ANGLES]
        dark = np.minimum(*sides) - hair.min(axis=0)
        light = hair.max(axis=0) - np.maximum(*sides)
        found += bool((np.maximum(dark, light) >= HAIR_LEVELS).mean() >= HAIR_FRAC)
    return found >= NUM_HAIRS


def has_sweep(unrolled: np.ndarray, before: np.ndarray) -> bool:
    """Whether one block of angles changed at most radii, and hardly any of the others did."""
    outer = slice(int(MIDDLE_FRAC * unrolled.shape[1]), None)
    changed = (np.abs(unrolled[:, outer] - before[:, outer]) >= SWEPT_LEVELS).mean(axis=1)
    swept, still = changed >= SWEPT_FRAC, changed <= STILL_FRAC
    if not SWEEP_FRACS[0] <= swept.mean() <= SWEEP_FRACS[1] or not still.any():
        return False
    num_blocks = int((swept & ~np.roll(swept, 1)).sum())
    return num_blocks == 1 and bool((swept | still).mean() >= 1.0 - UNDECIDED_FRAC)
