"""A static logo: a compact patch of edges in a corner that keeps its place while the picture moves.

Edges that keep their place over the whole clip are gathered into patches (`standing.py` defines coherence; Meisinger et
al. 2005 find logos in the same way, by pixels that do not change). Where the rest of the picture is still or empty,
nothing can be told, and no logo is found.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.measure.clip.overlay_text.reading import TextBox
from pipeline.measure.clip.overlay_text.standing import CELL_PX, MOVES_BELOW, SOBEL_GAIN, EdgeStack

WINDOW_PX, JOIN_PX = 7, 9
"""Window over which coherence is taken, and the widest gap between edges of one patch."""
STANDS = 0.4
"""Least coherence of a logo's pixels, over a window; half-transparent logos let some of the picture through."""
LEAST_STEP = 6.0
"""Mean step of luma that a logo's edge has in every frame."""
CORNER_FRAC = 0.12
"""A logo begins this near to a side and to the head or foot: a little more than cosmos-curate's 10%."""
MIN_SIDE_FRAC, MIN_SIDE_PX, MAX_FRAC = 0.04, 10, 0.06
"""Shorter side of the smallest logo, of the picture's height and in pixels; the largest logo's share of the picture."""
MARGIN_FRAC = 0.012
"""A logo is at least this far from the picture's edges, of its height; what is nearer belongs to the scene."""
MAX_ASPECT = 5.0
"""Longer patches are borders and horizons."""
LEAST_MOVING_SHARE = 0.6
"""Share of the textured cells of the picture, and of those around the logo, that must move."""
LEAST_CELLS = 8
"""Textured cells that the picture needs."""
MIN_FRAMES = 4
"""Frames that a clip needs."""


def logo_boxes(edges: EdgeStack, writing: Sequence[TextBox]) -> list[tuple[int, int, int, int]]:
    """Boxes x, y, width, height of logos without text; `writing` are the boxes of text, which are left out."""
    if edges.num_frames < MIN_FRAMES:
        return []
    coherence, textured = edges.cells(tuple(range(edges.num_frames)))
    if textured.sum() < LEAST_CELLS or (coherence[textured] < MOVES_BELOW).mean() < LEAST_MOVING_SHARE:
        return []
    standing = _standing_pixels(edges)
    for box in writing:
        standing[box.y0 : box.y1, box.x0 : box.x1] = 0
    padded = np.pad(standing, JOIN_PX)
    joined = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((JOIN_PX, JOIN_PX), np.uint8))
    inside = np.ascontiguousarray(joined[JOIN_PX:-JOIN_PX, JOIN_PX:-JOIN_PX])
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside)
    return [
        (x, y, w, h)
        for x, y, w, h, filled in (tuple(int(v) for v in row) for row in stats[1:])
        if _is_logo(x, y, w, h, filled, edges) and _surroundings_move(x, y, w, h, coherence, textured)
    ]


def _standing_pixels(edges: EdgeStack) -> np.ndarray:
    """Where edges keep their place over the whole clip, by themselves and with those around them, (H, W) uint8 0 or
    1."""
    shared, energy = edges.pixel_sums
    window = (WINDOW_PX, WINDOW_PX)
    mean_step = np.sqrt(shared) / (edges.num_frames * SOBEL_GAIN)
    standing = mean_step >= LEAST_STEP
    for over, of in ((shared, energy), (cv2.blur(shared, window), cv2.blur(energy, window))):
        standing &= over - of >= STANDS * (edges.num_frames - 1) * np.maximum(of, 1e-6)
    return standing.astype(np.uint8)


def _is_logo(x: int, y: int, w: int, h: int, filled: int, edges: EdgeStack) -> bool:
    """Whether a patch has the place, size and shape of a logo."""
    right, foot = edges.width - x - w, edges.height - y - h
    inside = min(x, y, right, foot) > MARGIN_FRAC * edges.height
    in_corner = min(x, right) <= CORNER_FRAC * edges.width and min(y, foot) <= CORNER_FRAC * edges.height
    compact = max(w, h) <= MAX_ASPECT * min(w, h) and filled >= 0.25 * w * h
    sized = (
        min(w, h) >= max(MIN_SIDE_FRAC * edges.height, MIN_SIDE_PX) and w * h <= MAX_FRAC * edges.width * edges.height
    )
    return inside and in_corner and compact and sized


def _surroundings_move(x: int, y: int, w: int, h: int, coherence: np.ndarray, textured: np.ndarray) -> bool:
    """Whether most of what is around a patch moves."""
    reach = max(w, h, 2 * CELL_PX)
    near = np.zeros_like(textured)
    near[
        max(y - reach, 0) // CELL_PX : (y + h + reach) // CELL_PX + 1,
        max(x - reach, 0) // CELL_PX : (x + w + reach) // CELL_PX + 1,
    ] = True
    near[y // CELL_PX : (y + h) // CELL_PX + 1, x // CELL_PX : (x + w) // CELL_PX + 1] = False
    near &= textured
    return near.sum() >= 4 and float((coherence[near] < MOVES_BELOW).mean()) >= LEAST_MOVING_SHARE
