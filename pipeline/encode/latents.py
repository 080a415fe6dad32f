"""Latents: a clip at its native aspect ratio, sampled by time, through a video codec.

A codec takes one frame and whole strides more, with sides that are multiples of its stride; here, of patches of
2 x 2 latents. Frames are read at a fixed rate around the middle of the clip, and each side is rounded to that grid, so
nothing is padded or cropped.
"""

from __future__ import annotations

import numpy as np

from model.codec.spec import CodecSpec
from pipeline import decode
from pipeline.decode.clip_frames import Clip, Sampling
from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.sizes import fit_to_budget
from schemas.identity import digest
from schemas.recipe.encode import EncodeConfig

PATCH_HW = 2
"""Rows and columns of latents in a patch of the transformer, by default ([train.model])."""
OK, FAILED = "ok", "failed"


def plan_clip(clip: Clip, config: EncodeConfig, codec: CodecSpec) -> Sampling:
    """Which frames of a clip of a release are encoded, and at what width and height."""
    span_us = clip["end_us"] - clip["start_us"]
    frames = 1 if clip["is_image"] else min(config.max_frames, max(1, int(span_us * config.fps / MICROSECONDS)))
    stride_t, *stride_hw = codec.stride_thw
    frames = (frames - 1) // stride_t * stride_t + 1
    step_us = MICROSECONDS / config.fps
    first_us = clip["start_us"] + (span_us - frames * step_us) / 2 if frames > 1 else clip["start_us"] + span_us / 2
    times_us = [int(first_us + (i + 0.5) * step_us) if frames > 1 else int(first_us) for i in range(frames)]
    _, _, width, height = clip["content_box"]
    return Sampling(tuple(times_us), fit_to_budget(width, height, config.max_pixels_px, PATCH_HW * max(stride_hw)))


VERSION = 2
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

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB to raw latents, (C, T', H', W') float16."""
        latent = self._encode(self._codec, self._torch.from_numpy(np.array(frames)))
        return as_half(latent.float().cpu().numpy(), "a latent")


def as_half(values: np.ndarray, what: str) -> np.ndarray:
    """Floats as they are stored.

    Raises:
        ValueError: one is out of the range of float16.
    """
    if not np.abs(values).max() <= np.finfo(np.float16).max:
        raise ValueError(f"{what} cannot be stored as float16: it has values beyond 65504")
    return values.astype(np.float16)
