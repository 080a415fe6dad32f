"""Which full-size pixels are read: a few strips of whole rows, spread over the picture inside its black borders.

A measure of detail needs pixels at full size, but not all of them. Strips follow the order of memory, keep a row's
neighbours for interlacing, and start on the 8-pixel grid of the stored picture. So they are cut before it is turned
upright.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.decode.frame import StreamFrame
from pipeline.decode.planes import Place, stored_luma
from pipeline.measure.stream.borders.one_frame import Extent, lit_area
from pipeline.measure.stream.technical.levels import BLACK

STRIP_ROWS = 48
NUM_STRIPS = 5
MAX_STRIP_COLUMNS = 1536
"""So at most 48 * 5 * 1536 pixels of a frame are read, 0.37 million, whatever its size."""
BORDER_LEVELS = 8
"""Luma above black that a black border may reach through the codec's noise."""
LEAST_PICTURE_FRAC = 0.25
"""If what is inside the borders spans less of a side than this, it is dark content, and the whole frame is used."""
GRID_PX = 8
"""Side of the blocks that codecs divide a picture into."""


def picture_area(luma: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right (half-open) of what (h, w) uint8 luma shows inside black borders."""
    limit = BLACK + BORDER_LEVELS
    (top, bottom), (left, right) = (
        _unless_small(lines, size) for lines, size in zip(lit_area(luma, limit), luma.shape, strict=True)
    )
    return top, bottom, left, right


def strip_places(frame: StreamFrame) -> list[Place]:
    """The strips of a frame, from top to bottom: NUM_STRIPS at most, each from a multiple of GRID_PX."""
    (top, bottom, left, right), (height, width) = picture_area(frame.luma), frame.luma.shape
    stored = frame.orientation.stored_area((top / height, bottom / height, left / width, right / width))
    return places_within(stored, (frame.raw.height, frame.raw.width))


def cut_strips(frame: StreamFrame, places: Sequence[Place]) -> list[np.ndarray]:
    """Full-size luma at some places, (rows, columns) uint8 each, in stored orientation."""
    return stored_luma(frame.raw, places)


def places_within(area: tuple[float, float, float, float], shape: tuple[int, int]) -> list[Place]:
    """Strips for a stored picture of `shape`, inside an area that is given as shares of its sides."""
    height, width = shape
    top, bottom = _on_grid(area[0] * height, area[1] * height, height)
    left, right = _on_grid(area[2] * width, area[3] * width, width)
    spare = max(0, right - left - MAX_STRIP_COLUMNS) // 2 // GRID_PX * GRID_PX
    columns = slice(left + spare, right - spare)
    if bottom - top < 2 * STRIP_ROWS:
        return [(slice(top, bottom), columns)]
    num = min(NUM_STRIPS, (bottom - top) // STRIP_ROWS)
    gap = (bottom - top - num * STRIP_ROWS) / num
    starts = [top + round(gap / 2 + i * (STRIP_ROWS + gap)) // GRID_PX * GRID_PX for i in range(num)]
    return [(slice(start, start + STRIP_ROWS), columns) for start in starts]


def _unless_small(lit: Extent, size: int) -> tuple[int, int]:
    """First and last + 1 of the lit lines; everything if that is little."""
    return (0, size) if lit.stop - lit.first < LEAST_PICTURE_FRAC * size else (lit.first, lit.stop)


def _on_grid(start: float, stop: float, length: int) -> tuple[int, int]:
    """The cells of the grid inside [start, stop), without the blurred edge of a border; all of a side that is short."""
    first = -(-round(start) // GRID_PX) * GRID_PX + (GRID_PX if start > 0 else 0)
    last = round(stop) // GRID_PX * GRID_PX - (GRID_PX if stop < length else 0)
    return (first, last) if last - first >= 2 * GRID_PX else (0, length)
