"""Motion: the speed of the dense optical flow (DIS, Kroeger et al. 2016), and the camera's share of it.

A few times a second, over the whole video, flow is computed between a sampled frame and the one just before it, which
follows fast motion, and, where motion is slow, between it and the sample before, which tells a slow drift from noise:
DIS follows 15 px, and is wrong by about a tenth of a pixel whatever the interval. The same flow gives the speeds and
the camera's motion. Frames are compared only within a clip.

The flow is that of DIS's ultrafast preset at 256 px, whose finest level has a quarter of that size: here frames are
reduced to that level first, which gives the same flow without the upsampling.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipeline.stages.camera import camera_scores, fit_camera
from pipeline.stages.motion_vectors import VectorMotion
from pipeline.stream import Span, StreamFrame, VideoFacts
from schemas.recipe import MeasureConfig

VERSION = 2

UNIT_SIDE_PX = 256
"""The longer side of the frame that speeds are given for, so that they do not depend on the video's size."""
FLOW_SIDE_PX = 64
"""Longer side of the pictures that are compared."""
PATCH_PX = 8
"""Side of a patch of DIS; the pictures' shorter side has two at least."""
MIN_SIDE_PX = 12
"""Shorter side of a frame below which there is nothing to match."""
MAX_SLOW_PX = 6.0
"""Mean displacement at 256 px up to which two samples are compared: well within what DIS follows."""
MOVING_PX_S = 2.5
"""Speed from which a pixel counts as moving, 1% of the longer side a second: ten times the flow's noise over 0.2 s."""
MICROSECONDS = 1_000_000


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
        flow = self._dis.calc(before.luma, after.luma, None)  # pyright: ignore[reportCallIssue, reportArgumentType]
        return flow * before.factors


class MotionMeasure:
    """The columns of `Motion` and `Camera`; about 250 bytes are kept for each second of video."""

    every_frame = True

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        self._flow = Flow()
        self._vectors = VectorMotion()
        self._interval_us = round(MICROSECONDS / config.sample_hz)
        self._next_us: int | None = None
        self._sample: tuple[int, int, FlowPicture] | None = None
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
        if previous is None or sample is None:
            return
        adjacent = previous.index, previous.time_us, FlowPicture.of(previous.luma)
        px_s = self._compare(adjacent, self._sample)
        if sample[0] < previous.index and px_s * (frame.time_us - sample[1]) <= MAX_SLOW_PX * MICROSECONDS:
            self._compare(sample, self._sample)

    def _compare(self, before: tuple[int, int, FlowPicture], after: tuple[int, int, FlowPicture]) -> float:
        """Note what moves from one frame to another; returns the camera's speed in px/s."""
        if before[2].luma.shape != after[2].luma.shape:
            return np.inf
        interval_s = (after[1] - before[1]) / MICROSECONDS
        flow = self._flow.between(before[2], after[2])
        # NumPy's own root: the last bit of cv2.magnitude depends on where an array lies in memory.
        px_s = np.sqrt((flow * flow).sum(axis=-1)) / interval_s
        fit = fit_camera(flow, before[2].luma, after[2].luma)
        camera = (np.nan,) * 6
        if fit is not None:
            camera = (*(fit.motion / interval_s), fit.support, fit.residual_px / interval_s)
        self._frames.extend((before[0], after[0]))
        self._numbers.extend((float(px_s.mean(dtype=np.float64)), float((px_s > MOVING_PX_S).mean()), *camera))
        return float(np.linalg.norm(fit.motion)) / interval_s if fit is not None else 0.0

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        rows = self._rows_of(span)
        return {
            "motion_px_s": float(rows[:, 0].mean()) if len(rows) else None,
            "moving_area_frac": float(rows[:, 1].mean()) if len(rows) else None,
            **self._vectors.scores(span),
            **camera_scores(rows[:, 2:6], rows[:, 6], rows[:, 7]),
        }

    def _rows_of(self, span: Span) -> np.ndarray:
        """What was noted of each sampled frame of a span, over the longest interval that lies inside, (n, 8) float64."""
        frames = np.array(self._frames, np.int64).reshape(-1, 2)
        inside = (frames[:, 0] >= span.first) & (frames[:, 1] < span.last)
        rows = np.array(self._numbers, np.float64).reshape(len(frames), -1)[inside] if len(frames) else np.zeros((0, 8))
        latest = np.append(np.diff(frames[inside, 1]) > 0, True)[: len(rows)]
        return rows[latest]
