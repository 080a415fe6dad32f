"""Which full-size pixels are read: a few strips of whole rows, spread over the picture inside its black borders.

A measure of detail needs pixels at full size, but not all of them. Strips follow the order of memory, keep a row's
neighbours for interlacing, and start on the 8-pixel grid of the stored picture. So they are cut before it is turned
upright.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.decode.frame import StreamFrame
from pipeline.decode.planes import luma_and_chroma, to_8_bit
from pipeline.decode.reader import rotation_turns
from pipeline.measure.stream.borders.one_frame import Extent, lit_area
from pipeline.measure.stream.technical.levels import black_and_white

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


def picture_area(luma: np.ndarray, *, full_range: bool) -> tuple[int, int, int, int]:
    """Top, bottom, left and right (half-open) of what (h, w) uint8 luma shows inside black borders."""
    limit = black_and_white(full_range)[0] + BORDER_LEVELS
    (top, bottom), (left, right) = (
        _unless_small(lines, size) for lines, size in zip(lit_area(luma, limit), luma.shape, strict=True)
    )
    return top, bottom, left, right


Place = tuple[slice, slice]
"""Rows and columns of a strip in the stored picture."""


def strip_places(frame: StreamFrame) -> list[Place]:
    """The strips of a frame, from top to bottom: NUM_STRIPS at most, each from a multiple of GRID_PX."""
    upright = picture_area(frame.luma, full_range=frame.full_range)
    stored = _turned_back(upright, frame.luma.shape, rotation_turns(frame.rotation_deg))
    return places_within(stored, (frame.raw.height, frame.raw.width))


def cut_strips(frame: StreamFrame, places: Sequence[Place]) -> list[np.ndarray]:
    """Full-size luma at some places, (rows, columns) uint8 each, in stored orientation."""
    plane = luma_and_chroma(frame.raw)[0]
    return [to_8_bit(plane[place]) for place in places]


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


def _turned_back(
    area: tuple[int, int, int, int], shape: tuple[int, ...], turns: int
) -> tuple[float, float, float, float]:
    """An area of the upright picture as shares of the stored one's sides; `turns` made it upright."""
    top, bottom, left, right = area[0] / shape[0], area[1] / shape[0], area[2] / shape[1], area[3] / shape[1]
    for _ in range(turns):  # each undoes a quarter turn counter-clockwise: what was at the right is at the top
        top, bottom, left, right = left, right, 1 - bottom, 1 - top
    return top, bottom, left, right


def _on_grid(start: float, stop: float, length: int) -> tuple[int, int]:
    """The cells of the grid inside [start, stop), without the blurred edge of a border; all of a side that is short."""
    first = -(-round(start) // GRID_PX) * GRID_PX + (GRID_PX if start > 0 else 0)
    last = round(stop) // GRID_PX * GRID_PX - (GRID_PX if stop < length else 0)
    return (first, last) if last - first >= 2 * GRID_PX else (0, length)
