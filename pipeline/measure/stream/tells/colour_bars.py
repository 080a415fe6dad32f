"""Colour bars: the six saturated hues side by side, in an order that test patterns use, as bands down the picture.

SMPTE and EBU bars stand in falling luma: yellow, cyan, green, magenta, red, blue, between white and black; FFmpeg's
testsrc has an order of its own. Only hue, order and width count, on rows spread over the picture. So 75% and 100%
bars, ITU-R BT.601 and BT.709, grey sides, a ramp or PLUGE below, and a counter beside or over them make no difference.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

HUES_DEG = {"yellow": 172.0, "cyan": -74.0, "green": -129.0, "magenta": 50.0, "red": 105.0, "blue": -7.0}
"""Angle of (Cb, Cr), midway between BT.601's and BT.709's, which differ by at most 6 degrees."""
HUE_TOLERANCE_DEG = 18.0
LEAST_CHROMA = 30.0
"""Length of (Cb, Cr) in levels; the weakest of 75% bars has 84."""
ORDERS = (
    ("yellow", "cyan", "green", "magenta", "red", "blue"),
    ("blue", "red", "magenta", "green", "cyan", "yellow"),
    ("cyan", "magenta", "blue", "yellow", "green", "red"),
)
LEAST_WIDTH_FRAC = 0.04
"""A bar's width over the picture's."""
WIDTH_RATIO = 2.2
"""Of the widest to the narrowest bar; edges are blurred by chroma subsampling."""
NUM_ROWS = 16
LEAST_ROWS = 4
"""Rows with the same bars: a quarter of the height, as where a counter stands below."""
ALIKE_FRAC = 0.03
"""How far the edges of a bar may move from row to row, over the picture's width."""


def shows_colour_bars(blue: np.ndarray, red: np.ndarray) -> bool:
    """Whether a picture's (h, w) uint8 chroma planes Cb and Cr hold colour bars."""
    if any(not reaches_both_ways(chroma) for chroma in (blue, red)):
        return False
    height, width = blue.shape
    rows = np.unique(np.linspace(0.03 * height, 0.97 * height, NUM_ROWS).astype(int).clip(0, height - 1))
    hues = hue_indices(blue[rows], red[rows])
    if not all((hues == index).any() for index in range(len(HUES_DEG))):
        return False
    layouts = [layout for row in hues if (layout := _bars_of_row(row)) is not None]
    if len(layouts) < LEAST_ROWS:
        return False
    edges = np.array(layouts)
    alike = np.abs(edges - np.median(edges, axis=0)).max(axis=1) <= max(1.0, ALIKE_FRAC * width)
    return int(alike.sum()) >= LEAST_ROWS


def reaches_both_ways(chroma: np.ndarray) -> bool:
    """Whether a chroma plane goes far to both sides of grey, as it must where all six hues are."""
    least, most, _, _ = cv2.minMaxLoc(chroma)
    return least <= 128 - LEAST_CHROMA and most >= 128 + LEAST_CHROMA


def hue_indices(blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Which of HUES_DEG each pixel of Cb and Cr has, by its index; -1 for grey and for any other hue."""
    cb, cr = blue.astype(np.float32) - 128.0, red.astype(np.float32) - 128.0
    angle = np.degrees(np.arctan2(cr, cb))[..., None]
    away = np.abs((angle - np.array(list(HUES_DEG.values()), np.float32) + 180.0) % 360.0 - 180.0)
    nearest = away.argmin(axis=-1)
    known = (away.min(axis=-1) <= HUE_TOLERANCE_DEG) & (np.hypot(cb, cr) >= LEAST_CHROMA)
    return np.where(known, nearest, -1)


def _bars_of_row(hues: np.ndarray) -> list[int] | None:
    """Edges of the six bars, two each from left to right, in a row (w,) of hue indices; None if it has none."""
    edges = np.flatnonzero(np.diff(hues, prepend=-2, append=-2))
    widest: dict[int, tuple[int, int]] = {}
    for start, stop in pairwise(edges):
        hue = int(hues[start])
        if hue >= 0 and (hue not in widest or stop - start > widest[hue][1] - widest[hue][0]):
            widest[hue] = int(start), int(stop)
    if len(widest) < len(HUES_DEG):
        return None
    widths = [stop - start for start, stop in widest.values()]
    if min(widths) < LEAST_WIDTH_FRAC * len(hues) or max(widths) > WIDTH_RATIO * min(widths):
        return None
    names = list(HUES_DEG)
    placed = sorted((start, stop, names[hue]) for hue, (start, stop) in widest.items())
    if tuple(name for _, _, name in placed) not in ORDERS or _gap(placed) > min(widths):
        return None
    return [edge for start, stop, _ in placed for edge in (start, stop)]


def _gap(placed: list[tuple[int, int, str]]) -> int:
    """The widest gap between neighbouring bars."""
    return max(after[0] - before[1] for before, after in pairwise(placed))
