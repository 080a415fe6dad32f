"""Latents: a clip at its native size, or within a budget of pixels and frames, through the video codec.

Frames are read at a fixed rate around the middle of the clip, as many as there are. Nothing is stretched or left out to
fit the codec: what lacks to whole latents, and to patches of 2 x 2 of them, is padded, and the row says which part is
the clip's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.codec.padding import padded
from model.codec.spec import CodecPlan, CodecSpec
from pipeline import decode
from pipeline.decode.clip_frames import Clip, Sampling
from pipeline.decode.clock import MICROSECONDS
from schemas.identity import digest
from schemas.recipe.encode import EncodeConfig

PATCH_HW = 2
"""Rows and columns of latents in a patch of the transformer, by default ([train.model])."""
OK, FAILED = "ok", "failed"


@dataclass(frozen=True)
class LatentPlan:
    """Which frames of a clip are read, at what size, and how they are padded."""

    sampling: Sampling
    codec: CodecPlan


def plan_clip(clip: Clip, config: EncodeConfig, codec: CodecSpec) -> LatentPlan:
    """What is encoded of a clip of a release."""
    span_us = clip["end_us"] - clip["start_us"]
    frames = 1 if clip["is_image"] else min(config.max_frames, max(1, int(span_us * config.fps / MICROSECONDS)))
    step_us = MICROSECONDS / config.fps
    first_us = clip["start_us"] + (span_us - frames * step_us) / 2 if frames > 1 else clip["start_us"] + span_us / 2
    times_us = [int(first_us + (i + 0.5) * step_us) if frames > 1 else int(first_us) for i in range(frames)]
    sampling = Sampling.within(clip, times_us, config.max_pixels_px)
    return LatentPlan(sampling, codec.plan(frames, *sampling.size, patch_thw=(1, PATCH_HW, PATCH_HW)))


VERSION = 3
"""Raised when other frames are read of a clip, are prepared otherwise, or give latents of other bits."""


def clip_transform(clip: Clip, transform: str) -> str:
    """Fingerprint of what a latent is of, beside the clip's span and the autoencoder.

    Args:
        transform: of the settings (`EncodeConfig.transform`).
    """
    return digest("latent", decode.VERSION, VERSION, transform, list(clip["content_box"]))


class LatentEncoder:
    """Loads the codec once; then frames in, raw latents out."""

    def __init__(self, name: str) -> None:
        import torch

        from model.codec.loading import load_codec
        from model.codec.video_codec import encode_frames

        self._torch, self._encode = torch, encode_frames
        self._codec = load_codec(name, "cuda" if torch.cuda.is_available() else "cpu")
        self.fingerprint: str = self._codec.spec.fingerprint

    def __call__(self, frames: np.ndarray, plan: CodecPlan) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB of the plan's valid size to raw latents, (C, T', H', W') float16."""
        latent = self._encode(self._codec, self._torch.from_numpy(np.array(padded(frames, plan))))
        return as_half(latent.float().cpu().numpy(), "a latent")


class OutOfRange(ValueError):
    """A value that float16 cannot hold."""


def as_half(values: np.ndarray, what: str) -> np.ndarray:
    """Floats as they are stored.

    Raises:
        OutOfRange: one is out of the range of float16.
    """
    if not np.abs(values).max() <= np.finfo(np.float16).max:
        raise OutOfRange(f"{what} cannot be stored as float16: it has values beyond 65504")
    return values.astype(np.float16)
