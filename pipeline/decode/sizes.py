"""Sizes of pictures: which are read, how they are displayed, and what fits a budget of pixels."""

from __future__ import annotations

import math

from pipeline.ingest.failures import MediaError

MAX_SIDE_PX, MAX_PIXELS_PX = 32_767, 142_606_336
"""The largest picture that is read: as many pixels as the highest level of H.265 allows (7.2, table A.8), and sides
within OpenCV's 16-bit coordinates."""
MIN_SIDE_PX, MAX_ASPECT = 16, 16
"""The smallest picture that is read: one block of the usual codecs. With this aspect, as much of the shorter side is
left when the longer one is reduced to the 256 px that measures read."""


def require_readable_size(width: int, height: int) -> None:
    """Refuse a picture that is so large that a few fill a machine's memory, or too small to measure.

    Raises:
        MediaError: `too_large` or `too_small`.
    """
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS_PX:
        limits = f"{MAX_SIDE_PX} px a side, {MAX_PIXELS_PX} px in all"
        raise MediaError("too_large", f"{width} x {height} px; limits: {limits}")
    if min(width, height) < max(MIN_SIDE_PX, max(width, height) / MAX_ASPECT):
        limits = f"{MIN_SIDE_PX} px a side, {MAX_ASPECT}:1"
        raise MediaError("too_small", f"{width} x {height} px; limits: {limits}")


def square_pixel_size(width: int, height: int, sample_aspect_ratio: float) -> tuple[int, int]:
    """Width and height of a stored picture in square pixels, before it is turned upright."""
    if sample_aspect_ratio >= 1:
        return round(width * sample_aspect_ratio), height
    return width, round(height / sample_aspect_ratio)


def fit_to_budget(width: int, height: int, max_pixels_px: int, multiple: int = 2) -> tuple[int, int]:
    """A size of about the same aspect ratio and pixel budget; each side is rounded to the nearest `multiple`."""
    scale = min(1.0, math.sqrt(max_pixels_px / (width * height)))
    return tuple(max(multiple, multiple * math.floor(side * scale / multiple + 0.5)) for side in (width, height))  # type: ignore[return-value]
