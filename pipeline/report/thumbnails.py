"""Thumbnails of clips: a few frames spread over each, as JPEG in data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pipeline.decode.clip_frames import SampledClip, Sampling, VideoClips, by_video, sample_video, spread
from schemas.recipe.limits import LimitsConfig

NUM_FRAMES = 4
HEIGHT_PX = 112
MAX_ASPECT = 2.4
"""Wider pictures are reduced further, so that a strip fits on its card."""
JPEG_QUALITY = 75


@dataclass(frozen=True)
class Thumbnail:
    """One frame: its picture as a data URI, its size, and its time from the clip's start."""

    data_uri: str
    width_px: int
    height_px: int
    time_s: float


@dataclass(frozen=True)
class Strip:
    """The thumbnails of a clip; if its frames could not be read there are none, and `failure` says why."""

    thumbnails: list[Thumbnail]
    failure: str | None = None


def read_strips(clips: Sequence[Mapping[str, Any]]) -> dict[str, Strip]:
    """The strips of rows of `clips` by their ids; each video is read once."""
    strips = {clip["clip_id"]: UNMEASURED for clip in clips if clip["content_box"] is None}
    for of_video in by_video(clip for clip in clips if clip["content_box"] is not None):
        video = VideoClips.of(of_video, lambda clip: [_sampling(clip)])
        for number, (sampled,) in sample_video(LimitsConfig(), video):
            strips[of_video[number]["clip_id"]] = _strip(sampled)
    return strips


UNMEASURED = Strip([], "frames: the clip was never measured")


def _sampling(clip: Mapping[str, Any]) -> Sampling:
    return spread(clip, NUM_FRAMES, _pixel_budget(*clip["content_box"][2:]))


def _strip(sampled: SampledClip) -> Strip:
    if sampled.failure:
        return Strip([], f"frames: {sampled.failure}")
    return Strip([_thumbnail(frame, time) for frame, time in zip(sampled.frames, sampled.times_s, strict=True)])


def _pixel_budget(width_px: int, height_px: int) -> int:
    aspect = width_px / height_px
    height = HEIGHT_PX * min(1.0, MAX_ASPECT / aspect)
    return max(1, round(height * height * aspect))


def _thumbnail(frame_HW3: np.ndarray, time_s: float) -> Thumbnail:
    sink = io.BytesIO()
    Image.fromarray(frame_HW3).save(sink, "JPEG", quality=JPEG_QUALITY)
    height_px, width_px = frame_HW3.shape[:2]
    return Thumbnail(data_uri("image/jpeg", sink.getvalue()), width_px, height_px, time_s)


def data_uri(mime_type: str, data: bytes) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"
