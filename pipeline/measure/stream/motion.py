"""Motion: the speed of the dense optical flow (DIS, Kroeger et al. 2016), and the camera's share of it.

A few times a second, over the whole video, a frame is compared with the sample before. The interval tells a slow drift
from noise, since DIS errs by about a tenth of a pixel whatever the interval. DIS follows up to 15 px: where the camera
is faster, or the comparison fails, as across a cut, the frame is compared with the one just before it instead. The same
flow gives the speeds and the camera's motion. A comparison counts in a clip if both its frames are in it.

The flow is that of DIS's ultrafast preset at 256 px, whose finest level has a quarter of that size. Frames are reduced
to that level first, which gives the same flow without the upsampling.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.camera import CameraFit, camera_scores, fit_camera
from pipeline.measure.stream.motion_vectors import VectorMotion
from schemas.recipe.measure import MeasureConfig

UNIT_SIDE_PX = 256
"""The longer side of the frame that speeds are given for, so that they do not depend on the video's size."""
FLOW_SIDE_PX = 64
"""Longer side of the pictures that are compared."""
PATCH_PX = 8
"""Side of a patch of DIS; the pictures' shorter side has two at least."""
MIN_SIDE_PX = 12
"""Shorter side of a frame below which there is nothing to match."""
MAX_SLOW_PX = 6.0
"""The camera's displacement at 256 px up to which two samples are compared: well within what DIS follows."""
SURE_SUPPORT = 0.5
"""If this share of the picture moves as the fitted camera does, two samples are enough, without a neighbouring
frame."""
MOVING_PX_S = 2.5
"""Speed from which a pixel counts as moving, 1% of the longer side a second: five times DIS's error over 0.2 s. Patches
reach beyond what moves, so the area of a small object is measured larger, by a rim of about 13 px at 256 px."""


@dataclass(frozen=True)
class FlowPicture:
    """A frame made ready for flow: (h, w) uint8 of about 64 px, and the factors back to 256 px."""

    luma: np.ndarray
    factors: np.ndarray

    @classmethod
    def of(cls, luma: np.ndarray) -> FlowPicture:
        height, width = luma.shape
        factor = max(1.0, min(max(luma.shape) / FLOW_SIDE_PX, min(luma.shape) / (2 * PATCH_PX)))
        size = max(1, round(width / factor)), max(1, round(height / factor))
        small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        unit = UNIT_SIDE_PX / max(luma.shape)
        return cls(small, np.array([width / size[0] * unit, height / size[1] * unit], np.float32))


class Flow:
    """Dense flow between two frames, in pixels at 256 px for the longer side."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._dis.setFinestScale(0)

    def between(self, before: FlowPicture, after: FlowPicture) -> np.ndarray:
        """(h, w, 2) float32, how far each pixel of `before` goes."""
        flow = self._dis.calc(before.luma, after.luma, None)  # pyrefly: ignore
        return flow * before.factors


Sample = tuple[int, int, FlowPicture]
"""A frame's index, its time in microseconds, and its picture."""


@dataclass(frozen=True)
class Comparison:
    """What moves between two `frames`: `speeds` are the mean in px/s and the share of the picture that moves."""

    frames: tuple[int, int]
    interval_s: float
    speeds: tuple[float, float]
    fit: CameraFit | None

    @property
    def support(self) -> float:
        return self.fit.support if self.fit else 1.0

    @property
    def camera_px(self) -> float:
        return float(np.sqrt((self.fit.motion**2).sum())) if self.fit else 0.0


class MotionMeasure:
    """The columns of `Motion` and `Camera`; about 250 bytes are kept for each second of video."""

    every_frame = True

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        self._flow = Flow()
        self._vectors = VectorMotion()
        self._interval_us = round(MICROSECONDS / config.sample_hz)
        self._next_us: int | None = None
        self._sample: Sample | None = None
        self._frames = array("i")
        self._numbers = array("f")

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        self._vectors.push(frame)
        if self._next_us is not None and frame.time_us < self._next_us:
            return
        self._next_us = frame.time_us + self._interval_us
        if min(frame.luma.shape) < MIN_SIDE_PX:
            return
        sample, self._sample = self._sample, (frame.index, frame.time_us, FlowPicture.of(frame.luma))
        if previous is None or sample is None or sample[2].luma.shape != self._sample[2].luma.shape:
            return  # a stream may change its size
        apart = self._compare(sample, self._sample)
        if sample[0] == previous.index or (apart.support >= SURE_SUPPORT and apart.camera_px <= MAX_SLOW_PX):
            self._note(apart)
            return
        adjacent = self._compare((previous.index, previous.time_us, FlowPicture.of(previous.luma)), self._sample)
        self._note(adjacent)
        if adjacent.camera_px * apart.interval_s <= MAX_SLOW_PX * adjacent.interval_s:
            self._note(apart)

    def _compare(self, before: Sample, after: Sample) -> Comparison:
        interval_s = (after[1] - before[1]) / MICROSECONDS
        flow = self._flow.between(before[2], after[2])
        # NumPy's own root: the last bit of cv2.magnitude depends on where an array is in memory.
        px_s = np.sqrt((flow * flow).sum(axis=-1)) / interval_s
        fit = fit_camera(flow, before[2].luma, after[2].luma)
        speeds = float(px_s.mean(dtype=np.float64)), float((px_s > MOVING_PX_S).mean())
        return Comparison((before[0], after[0]), interval_s, speeds, fit)

    def _note(self, comparison: Comparison) -> None:
        camera = (np.nan,) * 6
        if comparison.fit is not None:
            fit, interval_s = comparison.fit, comparison.interval_s
            camera = (*(fit.motion / interval_s), fit.support, fit.residual_px / interval_s)
        self._frames.extend(comparison.frames)
        self._numbers.extend((*comparison.speeds, *camera))

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        rows = self._rows_of(span)
        return {
            "motion_px_s": float(rows[:, 0].mean()) if len(rows) else None,
            "moving_area_frac": float(rows[:, 1].mean()) if len(rows) else None,
            **self._vectors.scores(span),
            **camera_scores(rows[:, 2:6], rows[:, 6], rows[:, 7]),
        }

    def _rows_of(self, span: Span) -> np.ndarray:
        """The numbers of a span's samples, each over the longest interval inside the span, (n, 8) float64."""
        frames = np.array(self._frames, np.int64).reshape(-1, 2)
        inside = (frames[:, 0] >= span.first) & (frames[:, 1] < span.last)
        rows = np.array(self._numbers, np.float64).reshape(len(frames), -1)[inside] if len(frames) else np.zeros((0, 8))
        latest = np.append(np.diff(frames[inside, 1]) > 0, True)[: len(rows)]
        return rows[latest]
