"""The single pass: each frame is decoded once, and given to the shot detector and to the stream measures.

A frame is reduced by area, once for all of them. They keep a few numbers a frame, so memory grows by bytes a frame and
not by pictures. After the last frame the spans are known, and the numbers within each span become its scores.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2

from pipeline.decode import probe
from pipeline.decode.clock import MICROSECONDS, declared_rate
from pipeline.decode.frame import StreamFrame, VideoFacts
from pipeline.decode.orientation import Orientation, orientation_of
from pipeline.decode.reader import FrameReader
from pipeline.measure.stream_measures import StreamMeasures
from pipeline.split.detectors.detector import Detector
from schemas.recipe.measure import MeasureConfig


def run_pass(
    reader: FrameReader,
    header: dict[str, Any],
    measures: Collection[str],
    config: MeasureConfig,
    detector: Detector | None = None,
) -> tuple[dict[str, Any], StreamMeasures | None]:
    """Read a video to its end.

    Returns:
        The facts of the header with sizes added, and the measures that were given the frames; None if no frame decodes.
    """
    cv2.setNumThreads(1)  # the other cores decode
    facts, seen = dict(header), None
    previous: StreamFrame | None = None
    next_sample_us = 0
    orientation = Orientation()
    for index, raw in enumerate(reader):
        if seen is None:
            orientation = orientation_of(raw, reader.container.name)
            facts |= probe.picture_facts(raw, orientation, facts["sample_aspect_ratio"])
            seen = StreamMeasures(measures, _video_facts(reader, facts, (raw.width, raw.height)), config)
        frame = StreamFrame.of(
            raw,
            index,
            reader.times_us[index],
            work_side_px=config.work_side_px,
            orientation=orientation,
            packet_bytes=reader.packet_bytes,
        )
        is_sampled = index == 0 or frame.time_us >= next_sample_us
        if is_sampled:
            next_sample_us = frame.time_us + round(MICROSECONDS / config.sample_hz)
        if detector is not None:
            detector.push(frame)
        seen.push(frame, previous, sampled=is_sampled)
        previous = frame
    return facts, seen


def _video_facts(reader: FrameReader, facts: dict[str, Any], stored_px: tuple[int, int]) -> VideoFacts:
    return VideoFacts(
        width=facts["width"],
        height=facts["height"],
        stored_pixels=stored_px[0] * stored_px[1],
        fps=declared_rate(reader.stream),
    )
