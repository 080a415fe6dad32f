"""Latents: a clip at its native aspect ratio, sampled by time, through the causal autoencoder.

The autoencoder takes 4k + 1 frames, with sides that are multiples of 16 (its stride of 8 times patches of 2). Frames
are read at a fixed rate around the middle of the clip, and each side is rounded to that grid, so nothing is padded or
cropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.decode.clip_frames import SampledClip, read_clip
from pipeline.decode.reader import MICROSECONDS, MediaError, fit_to_budget
from pipeline.ingest.filesystems import local_copy
from schemas.recipe.encode import EncodeConfig

SIDE_MULTIPLE = 16
TIME_STRIDE = 4
OK, FAILED = "ok", "failed"


@dataclass(frozen=True)
class ClipPlan:
    """Which frames of a clip are encoded, and at what width and height."""

    times_us: list[int]
    size: tuple[int, int]


def plan_clip(clip: Mapping[str, Any], config: EncodeConfig) -> ClipPlan:
    """Frame times and size for a release row."""
    span_us = clip["end_us"] - clip["start_us"]
    frames = 1 if clip["is_image"] else min(config.max_frames, max(1, int(span_us * config.fps / MICROSECONDS)))
    frames = (frames - 1) // TIME_STRIDE * TIME_STRIDE + 1
    step_us = MICROSECONDS / config.fps
    first_us = clip["start_us"] + (span_us - frames * step_us) / 2 if frames > 1 else clip["start_us"] + span_us / 2
    times_us = [int(first_us + (i + 0.5) * step_us) if frames > 1 else int(first_us) for i in range(frames)]
    box = clip["content_box"]
    return ClipPlan(times_us, fit_to_budget(box[2], box[3], config.max_pixels_px, SIDE_MULTIPLE))


def read_planned(clip: Mapping[str, Any], config: EncodeConfig) -> SampledClip:
    """The frames that are to be encoded; a file that cannot be read gives the reason."""
    plan = plan_clip(clip, config)
    try:
        with local_copy(clip["uri"], hashed=False) as local:
            return SampledClip(read_clip(local.path, clip, plan.times_us, plan.size), [])
    except (OSError, MediaError) as error:
        return SampledClip(np.zeros((0, plan.size[1], plan.size[0], 3), np.uint8), [], f"frames: {error}")


class LatentEncoder:
    """Loads the autoencoder once; then frames in, raw latents out."""

    def __init__(self, name: str) -> None:
        import torch

        from model.codec.causal import load_autoencoder

        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._autoencoder = load_autoencoder(name).to(self._device)
        self.fingerprint: str = self._autoencoder.fingerprint

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB to raw latents, (C, T', H', W') float16."""
        with self._torch.inference_mode():
            video_THWC = self._torch.from_numpy(np.array(frames)).to(self._device)
            video_BCTHW = (video_THWC.permute(3, 0, 1, 2)[None].float() / 127.5) - 1.0
            return self._autoencoder.encode(video_BCTHW)[0].to(self._torch.float16).cpu().numpy()
