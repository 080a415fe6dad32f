"""The planes of a decoded frame: luma and chroma at full size or reduced, and the frame in another format."""

from __future__ import annotations

import math
from typing import Any

import av.error
import av.video.frame
import cv2
import numpy as np

from pipeline.decode.reader import MediaError, one_line, rotation_turns

PLANAR_8_BIT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
PLANAR_10_BIT = frozenset({"yuv420p10le", "yuv422p10le", "yuv444p10le"})


def luma_and_chroma(frame: av.video.frame.VideoFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The Y, U and V planes as views on the decoder's buffer, uint8 or (10-bit formats) uint16, before rotation.

    Formats other than planar YUV are converted to 8-bit 4:2:0 first.
    """
    name = frame.format.name
    if name not in PLANAR_8_BIT and name not in PLANAR_10_BIT:
        frame = reformatted(frame, format="yuv420p")
    dtype = np.uint16 if name in PLANAR_10_BIT else np.uint8
    planes = []
    for plane in frame.planes[:3]:
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width])
    return planes[0], planes[1], planes[2]


def reformatted(frame: av.video.frame.VideoFrame, **wanted: Any) -> av.video.frame.VideoFrame:
    """A frame in another format or size; a colour space that swscale does not know is treated as untagged.

    Raises:
        MediaError: `unknown_format`, if swscale takes it neither way.
    """
    try:
        return frame.reformat(**wanted)
    except av.error.FFmpegError:
        frame.colorspace, frame.color_primaries, frame.color_trc = UNSPECIFIED, UNSPECIFIED, UNSPECIFIED
    try:
        return frame.reformat(**wanted)
    except av.error.FFmpegError as error:
        raise MediaError("unknown_format", f"{frame.format.name}: {one_line(error)}") from error


UNSPECIFIED = 2
"""Code of an unspecified colour space, primaries or transfer (ITU-T H.273, tables 2 to 4)."""


def reduce_planes(frame: av.video.frame.VideoFrame, long_side_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve a frame until its longer side is nearest to `long_side_px`, as stored.

    The few rows and columns beyond a whole multiple of the factor are left out, for speed (`halved`).

    Returns:
        luma (h, w), blue and red difference (h/2, w/2), uint8; h and w are even.
    """
    luma, blue, red = luma_and_chroma(frame)
    halvings = max(0, round(math.log2(max(luma.shape) / long_side_px)))
    height, width = (max(2, side >> (halvings + 1) << 1) for side in luma.shape)
    return (
        to_8_bit(_shrink(luma, halvings, height, width)),
        to_8_bit(_shrink(blue, halvings, height // 2, width // 2)),
        to_8_bit(_shrink(red, halvings, height // 2, width // 2)),
    )


def _shrink(plane: np.ndarray, halvings: int, height: int, width: int) -> np.ndarray:
    """Reduce by area to (height, width), in halves unless chroma is not subsampled like 4:2:0."""
    if plane.shape[0] >> halvings not in (height, height + 1) or plane.shape[1] >> halvings not in (width, width + 1):
        return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    plane = plane[: height << halvings, : width << halvings]
    for _ in range(halvings):
        plane = halved(plane)
    return plane


def halved(plane: np.ndarray) -> np.ndarray:
    """Half the size by area, (h, w) to (h // 2, w // 2); an odd last row or column is left out.

    OpenCV halves an image ten times faster than it reduces by any other factor.
    """
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    return cv2.resize(plane[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def displayed_luma(frame: av.video.frame.VideoFrame, rotation_deg: int) -> np.ndarray:
    """Luma at full size, as stored pixels turned upright, (H, W) uint8."""
    return np.rot90(to_8_bit(luma_and_chroma(frame)[0]), rotation_turns(rotation_deg))


def to_8_bit(plane: np.ndarray) -> np.ndarray:
    """A plane of `luma_and_chroma` as uint8."""
    return plane if plane.dtype == np.uint8 else (plane >> 2).astype(np.uint8)
