"""Frames as they leave a decoder, and what the technical measure makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.decode.frame import AS_STORED, Span, StreamFrame, VideoFacts
from pipeline.decode.orientation import Orientation
from pipeline.decode.reader import FrameReader, open_video
from pipeline.measure.stream.technical.measure import TechnicalMeasure
from pipeline.synthetic import blemishes
from pipeline.synthetic.encode import Encoding, encode
from schemas.recipe.measure import MeasureConfig

FPS = 25
TEXTURED = blemishes.textured(240, 480)


def stream_frame(
    luma: np.ndarray, index: int = 0, *, fps: int = FPS, orientation: Orientation = AS_STORED
) -> StreamFrame:
    """A frame as it would leave the decoder: stored luma with grey chroma."""
    height, width = luma.shape
    planes = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
    raw = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv420p")
    return StreamFrame.of(raw, index, round(index * 1e6 / fps), orientation=orientation, packet_bytes=1000)


def measured(frames: Sequence[StreamFrame], spans: Sequence[tuple[int, int]] = ()) -> list[dict[str, float | None]]:
    """Scores of spans of frames, or of all."""
    height, width = frames[0].luma.shape
    raw = frames[0].raw
    measure = TechnicalMeasure(VideoFacts(width, height, raw.width * raw.height, FPS), MeasureConfig())
    previous = None
    for frame in frames:
        measure.push(frame, previous)
        previous = frame
    shots = [Span(i, first, last, 0, 0) for i, (first, last) in enumerate(spans or [(0, len(frames))])]
    return [measure.scores(shot, shots) for shot in shots]


def of_luma(pictures: Sequence[np.ndarray], **kwargs: Any) -> dict[str, float | None]:
    return measured([stream_frame(picture, i, **kwargs) for i, picture in enumerate(pictures)])[0]


def through_codec(path: Path, pictures: Sequence[np.ndarray], encoding: Encoding) -> list[StreamFrame]:
    times = [Fraction(i, FPS) for i in range(len(pictures) + 1)]
    encode(path, [blemishes.rgb(picture) for picture in pictures], times, Fraction(FPS), encoding)
    container, stream = open_video(str(path))
    with container:
        reader = FrameReader(container, stream)
        return [
            StreamFrame.of(raw, i, reader.times_us[i], packet_bytes=reader.packet_bytes) for i, raw in enumerate(reader)
        ]
