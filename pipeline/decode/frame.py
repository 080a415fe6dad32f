"""Frames in the single pass over a video: reduced once; expensive views are made when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import av.video.frame
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer

from pipeline.decode.orientation import Orientation
from pipeline.decode.planes import displayed_luma, halved, reduce_planes

TINY_WIDTH, TINY_HEIGHT = 48, 27
"""Size of the frames that TransNetV2 takes (Soucek & Lokoc 2020)."""
AS_STORED = Orientation()


@dataclass
class StreamFrame:
    """A decoded frame on its way through the pass.

    `luma` is (h, w) uint8, 16 for black and 235 for white, `blue` and `red` (h/2, w/2) uint8 (Cb, Cr), upright, halved
    to about the work side (`measure.work_side_px`); `packet_bytes` is the size of the frame's packet. Views of
    full-size pixels are valid as long as the frame is.
    """

    index: int
    time_us: int
    luma: np.ndarray
    blue: np.ndarray
    red: np.ndarray
    packet_bytes: int
    raw: av.video.frame.VideoFrame
    orientation: Orientation

    @classmethod
    def of(
        cls,
        raw: av.video.frame.VideoFrame,
        index: int,
        time_us: int,
        *,
        work_side_px: int = 256,
        orientation: Orientation = AS_STORED,
        packet_bytes: int = 0,
    ) -> StreamFrame:
        """Reduce a decoded frame and turn it upright."""
        luma, blue, red = reduce_planes(raw, work_side_px)
        if orientation != AS_STORED:
            luma, blue, red = (np.ascontiguousarray(orientation.upright(plane)) for plane in (luma, blue, red))
        return cls(index, time_us, luma, blue, red, packet_bytes, raw, orientation)

    @cached_property
    def colour(self) -> np.ndarray:
        """The reduced frame, (h, w, 3) uint8 BGR."""
        return _to_bgr(self.luma, self.blue, self.red)

    @cached_property
    def tiny(self) -> np.ndarray:
        """The frame as TransNetV2 takes it, (27, 48, 3) uint8 RGB."""
        return tiny_picture(self.luma, self.blue, self.red)

    @cached_property
    def full_luma(self) -> np.ndarray:
        """Luma at full size, as stored pixels turned upright, (H, W) uint8."""
        return displayed_luma(self.raw, self.orientation)

    @cached_property
    def motion_vectors(self) -> np.ndarray | None:
        """The codec's motion vectors in stored pixels, as FFmpeg's AVMotionVector fields; None if it exports none."""
        try:
            # Not `raw.side_data`, which makes a reference cycle, so that pictures would wait for the garbage collector.
            data = SideDataContainer(self.raw).get("MOTION_VECTORS")  # pyrefly: ignore
        except ValueError:  # PyAV 18 refuses all side data if it does not know one kind, such as a photo's EXIF
            return None
        return None if data is None else data.to_ndarray()  # pyrefly: ignore


def tiny_picture(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Reduced planes as TransNetV2 takes a frame, (27, 48, 3) uint8 RGB."""
    even = TINY_WIDTH, TINY_HEIGHT + 1
    luma = _resized(luma, *even)
    blue, red = (_resized(plane, even[0] // 2, even[1] // 2) for plane in (blue, red))
    return cv2.resize(_to_bgr(luma, blue, red), (TINY_WIDTH, TINY_HEIGHT), interpolation=cv2.INTER_AREA)[:, :, ::-1]


def _resized(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """By area, in halves first for speed."""
    while plane.shape[0] >= 2 * height and plane.shape[1] >= 2 * width:
        plane = halved(plane)
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)


def _to_bgr(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    height, width = luma.shape
    packed = np.empty((height * 3 // 2, width), np.uint8)
    packed[:height] = luma
    packed[height:] = np.concatenate([blue.ravel(), red.ravel()]).reshape(-1, width)
    return cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420)


@dataclass(frozen=True)
class VideoFacts:
    """What measures are told of a video before its first frame. Sizes are as displayed."""

    width: int
    height: int
    stored_pixels: int
    fps: float


@dataclass(frozen=True)
class Span:
    """A clip: frames [first, last) of a video, within shot `shot_index`, shown from `start_us` to `end_us`."""

    shot_index: int
    first: int
    last: int
    start_us: int
    end_us: int
