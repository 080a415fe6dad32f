"""The planes of a decoded frame, at full size or reduced, and the frame as a model is shown it.

Everything downstream sees one kind of picture: 8 bits, luma from 16 to 235, SDR, no transparency. Full-range video is
brought to that range, HDR is tone-mapped, and what is transparent is shown on white, as a browser's page shows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import av.error
import av.video.frame
import cv2
import numpy as np
from av.video.reformatter import ColorRange

from pipeline.decode.orientation import Orientation
from pipeline.decode.tone_mapping import is_hdr, luma_curve, to_sdr
from pipeline.ingest.failures import MediaError, one_line

PLANAR_8_BIT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
PLANAR_10_BIT = frozenset({"yuv420p10le", "yuv422p10le", "yuv444p10le"})
FULL_TO_LIMITED = np.round(16 + np.arange(256) * (219 / 255)).astype(np.uint8)
"""Luma; chroma is scaled around 128."""
FULL_TO_LIMITED_CHROMA = np.round(128 + (np.arange(256) - 128) * (224 / 255)).astype(np.uint8)


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


def rgb_picture(frame: av.video.frame.VideoFrame) -> np.ndarray:
    """A frame as a model is to see it, but for its orientation: (H, W, 3) RGB, uint8, or uint16 if it is HDR.

    HDR is tone-mapped by `shown_in_sdr`, after the picture has been reduced.
    """
    if is_hdr(frame.color_trc):
        return reformatted(frame, format="rgb48le").to_ndarray()
    return reformatted(_opaque(frame), format="rgb24").to_ndarray()


def shown_in_sdr(picture: np.ndarray, frame: av.video.frame.VideoFrame) -> np.ndarray:
    """A picture made of `rgb_picture`, perhaps reduced, as uint8."""
    if picture.dtype == np.uint8:
        return picture
    return to_sdr(picture.astype(np.float32) / 65535, frame.color_trc, frame.color_primaries)


def reduce_planes(frame: av.video.frame.VideoFrame, long_side_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve a frame until its longer side is nearest to `long_side_px`, as stored.

    The few rows and columns beyond a whole multiple of the factor are left out, for speed (`halved`).

    Returns:
        luma (h, w), blue and red difference (h/2, w/2), uint8; h and w are even.
    """
    frame, planes = _planes(frame)
    luma, blue, red = planes
    halvings = max(0, round(math.log2(max(luma.shape) / long_side_px)))
    height, width = (max(2, side >> (halvings + 1) << 1) for side in luma.shape)
    reduced = (
        _shrink(luma, halvings, height, width),
        _shrink(blue, halvings, height // 2, width // 2),
        _shrink(red, halvings, height // 2, width // 2),
    )
    if is_hdr(frame.color_trc):
        return _mapped_planes(*reduced, frame)
    luma, blue, red = (_to_8_bit(plane) for plane in reduced)
    if _is_full_range(frame):
        luma = cv2.LUT(luma, FULL_TO_LIMITED)
        blue, red = cv2.LUT(blue, FULL_TO_LIMITED_CHROMA), cv2.LUT(red, FULL_TO_LIMITED_CHROMA)
    return luma, blue, red


def _mapped_planes(
    luma: np.ndarray, blue: np.ndarray, red: np.ndarray, frame: av.video.frame.VideoFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reduced planes of an HDR frame (10 bits, BT.2020 non-constant luminance) as planes of SDR."""
    height, width = luma.shape
    wide = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in (blue, red)]
    span, offset = (1023.0, 0) if _is_full_range(frame) else (876.0, 64)
    y = (luma.astype(np.float32) - offset) / span
    cb, cr = ((plane.astype(np.float32) - 512) / (1023.0 if _is_full_range(frame) else 896.0) for plane in wide)
    rgb = np.stack([y + 1.4746 * cr, y - 0.16455 * cb - 0.57135 * cr, y + 1.8814 * cb], axis=-1)
    mapped = to_sdr(rgb, frame.color_trc, frame.color_primaries)
    packed = cv2.cvtColor(mapped, cv2.COLOR_RGB2YUV_I420)
    chroma = packed[height:].reshape(2, height // 2, width // 2)
    return packed[:height], chroma[0], chroma[1]


Place = tuple[slice, slice]
"""Rows and columns of a stored picture."""


def displayed_luma(frame: av.video.frame.VideoFrame, orientation: Orientation) -> np.ndarray:
    """Luma at full size, as stored pixels turned upright, (H, W) uint8."""
    (whole,) = stored_luma(frame, [(slice(None), slice(None))])
    return orientation.upright(whole)


def stored_luma(frame: av.video.frame.VideoFrame, places: Sequence[Place]) -> list[np.ndarray]:
    """Luma at full size at some places, as stored, uint8 each. HDR is tone-mapped as if it had no colour."""
    frame, (plane, _, _) = _planes(frame)
    if is_hdr(frame.color_trc):
        return [luma_curve(frame.color_trc)[np.minimum(plane[place], 1023)] for place in places]
    found = [_to_8_bit(plane[place]) for place in places]
    return [cv2.LUT(luma, FULL_TO_LIMITED) for luma in found] if _is_full_range(frame) else found


def halved(plane: np.ndarray) -> np.ndarray:
    """Half the size by area, (h, w) to (h // 2, w // 2); an odd last row or column is left out.

    OpenCV halves an image ten times faster than it reduces by any other factor.
    """
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    return cv2.resize(plane[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def fitted(frame: av.video.frame.VideoFrame, width: int, height: int) -> av.video.frame.VideoFrame:
    """A frame of another size brought into a stored size, in its own aspect ratio, with black around it."""
    scale = min(width / frame.width, height / frame.height)
    inner = [
        min(side, max(2, round(length * scale / 2) * 2))
        for side, length in ((width, frame.width), (height, frame.height))
    ]
    name = "yuv420p10le" if is_hdr(frame.color_trc) else "yuv420p"
    small = reformatted(_opaque(frame), width=inner[0], height=inner[1], format=name)
    if inner == [width, height]:
        return small
    whole = av.video.frame.VideoFrame(width, height, name)
    dtype, levels = (np.uint16, (64, 512, 512)) if name != "yuv420p" else (np.uint8, (16, 128, 128))
    for target, source, black in zip(whole.planes, small.planes, levels, strict=True):
        rows = np.frombuffer(memoryview(target), dtype).reshape(target.height, -1)
        rows[:] = black
        x, y = (target.width - source.width) // 2, (target.height - source.height) // 2
        inside = np.frombuffer(memoryview(source), dtype).reshape(source.height, -1)[:, : source.width]
        rows[y : y + source.height, x : x + source.width] = inside
    whole.colorspace, whole.color_range = small.colorspace, small.color_range
    whole.color_trc, whole.color_primaries = frame.color_trc, frame.color_primaries
    return whole


def _planes(
    frame: av.video.frame.VideoFrame,
) -> tuple[av.video.frame.VideoFrame, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """A frame and its Y, U and V as views on the decoder's buffer, uint8 or (10-bit formats) uint16, as stored.

    Formats other than planar YUV are converted to 4:2:0 first, of 8 bits, or of 10 if they are HDR.
    """
    name = frame.format.name
    if name not in PLANAR_10_BIT and (name not in PLANAR_8_BIT or is_hdr(frame.color_trc)):
        name = "yuv420p10le" if is_hdr(frame.color_trc) else "yuv420p"
        frame = reformatted(_opaque(frame), format=name)
    dtype = np.uint16 if name in PLANAR_10_BIT else np.uint8
    planes = []
    for plane in frame.planes[:3]:
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width])
    return frame, (planes[0], planes[1], planes[2])


def _opaque(frame: av.video.frame.VideoFrame) -> av.video.frame.VideoFrame:
    """A frame with transparency on white; any other as it is."""
    if not (frame.format.has_palette or any(part.is_alpha for part in frame.format.components)):
        return frame
    picture = reformatted(frame, format="rgba").to_ndarray()
    alpha = picture[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return frame
    colours = (picture[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return av.video.frame.VideoFrame.from_ndarray(np.ascontiguousarray(colours.astype(np.uint8)), format="rgb24")


def _is_full_range(frame: av.video.frame.VideoFrame) -> bool:
    return frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def _shrink(plane: np.ndarray, halvings: int, height: int, width: int) -> np.ndarray:
    """Reduce by area to (height, width), in halves unless chroma is not subsampled like 4:2:0."""
    if plane.shape[0] >> halvings not in (height, height + 1) or plane.shape[1] >> halvings not in (width, width + 1):
        return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    plane = plane[: height << halvings, : width << halvings]
    for _ in range(halvings):
        plane = halved(plane)
    return plane


def _to_8_bit(plane: np.ndarray) -> np.ndarray:
    return plane if plane.dtype == np.uint8 else (plane >> 2).astype(np.uint8)
