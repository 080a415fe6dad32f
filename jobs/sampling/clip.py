"""A clip of the size and length that is asked for: what must be sampled for it, and the sampling.

The autoencoder and the patches fix multiples of sides and lengths; more is sampled where needed, and cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from jobs.console.naming import naming
from jobs.sampling.condition import Source, last_frames
from jobs.training.run_config import RunConfig
from model.codec.loading import load_codec
from model.codec.spec import num_frames
from model.codec.video_codec import VideoCodec, encode_frames, unwhiten, whiten
from model.diffusion.sampling import Request, load_transformer, sample_latent
from model.readers.text_encoder import load_text_encoder
from pipeline.decode.sizes import fit_to_budget
from schemas.errors import UsageError


@dataclass(frozen=True)
class Shape:
    """What is asked for, and what is sampled: sides and length as the autoencoder and the patches need them."""

    width_px: int
    height_px: int
    num_frames: int
    grid_px: int
    """Sides are sampled in multiples of this."""
    stride_thw: tuple[int, int, int]
    """Of the autoencoder: frames, rows and columns of pixels to one latent."""

    @property
    def sampled_size_px(self) -> tuple[int, int]:
        width, height = (-(-side // self.grid_px) * self.grid_px for side in (self.width_px, self.height_px))
        return width, height

    @property
    def latent_frames(self) -> int:
        return -(-(self.num_frames - 1) // self.stride_thw[0]) + 1

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        width, height = self.sampled_size_px
        return self.latent_frames, height // self.stride_thw[1], width // self.stride_thw[2]


@dataclass(frozen=True)
class Settings:
    """How a clip is sampled."""

    steps: int
    """Steps of the sampler."""
    guidance: float
    """Guidance scale; 1 for none (Ho & Salimans 2022)."""
    seed: int
    """Seed of the noise."""


def shape_of(
    size: str | None, seconds: float | None, config: RunConfig, source: Source | None, *, is_image: bool
) -> Shape:
    """Size and length asked for, or the usual ones.

    Args:
        size: WIDTHxHEIGHT in pixels.
        seconds: above 0.
        is_image: one frame, where no length is asked for.
    Raises:
        UsageError: not a size, or too short to continue the source.
    """
    grid_px = max(config.stride_thw[1:]) * max(config.train["model"]["patch"][1:])
    if size:
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
        if not match:
            raise UsageError(f"--size {size}: not of the form WIDTHxHEIGHT, as 128x96")
        width, height = (int(side) for side in match.groups())
    elif source is not None:
        width, height = fit_to_budget(source.width_px, source.height_px, config.max_pixels_px, grid_px)
    else:
        width, height = config.usual_width_px, config.usual_height_px
    num_frames = config.usual_num_frames
    if seconds is not None:
        num_frames = max(round(seconds * config.fps), 1)
    elif is_image:
        num_frames = 1
    shape = Shape(width, height, num_frames, grid_px, config.stride_thw)
    if source is not None and shape.latent_frames < 2:
        raise UsageError(
            f"{shape.num_frames} frame leaves nothing to sample after {source.path}; ask for more --seconds"
        )
    return shape


@torch.no_grad()
def sample_frames(
    run: Path, prompt: str, config: RunConfig, shape: Shape, source: Source | None, settings: Settings
) -> np.ndarray:
    """Sample a clip: (T, H, W, 3) uint8 RGB of exactly the shape asked for.

    Raises:
        UsageError: no checkpoint, a bad setting, or encoders that are not those of the run.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with naming("autoencoder of the run", config.autoencoder):
        codec = load_codec(config.autoencoder, device)
    with naming("text encoder of the run", config.text_encoder):
        text_encoder = load_text_encoder(config.text_encoder, dtype=config.text_dtype)
    _require_same("autoencoder", config.autoencoder, config.autoencoder_fingerprint, codec.spec.fingerprint)
    _require_same("text encoder", config.text_encoder, config.text_encoder_fingerprint, text_encoder.fingerprint)
    with naming(f"run {run}"):
        transformer = load_transformer(run)
    latent_T, latent_H, latent_W = shape.latent_shape
    request = Request(
        text_LE=torch.from_numpy(text_encoder.encode([prompt])[0]) if prompt else None,
        latent_shape=(transformer.config.latent_channels, latent_T, latent_H, latent_W),
        latent_fps=config.fps / config.stride_thw[0],
        seed=settings.seed,
        prefix_CTHW=None if source is None else encoded_prefix(codec, source, shape, config.fps),
    )
    latent = sample_latent(transformer.to(device), request, num_steps=settings.steps, guidance=settings.guidance)
    return cut_to_shape(codec.decode_stream([unwhiten(latent[None], codec.spec)]), shape)


def encoded_prefix(codec: VideoCodec, source: Source, shape: Shape, fps: float) -> torch.Tensor:
    """Whitened latents of the end of the source, at most half of the clip, (C, T, H, W)."""
    stride_t = shape.stride_thw[0]
    max_frames = num_frames(shape.latent_frames // 2, stride_t)
    frames = last_frames(source, shape.sampled_size_px, fps, max_frames, stride_t)
    return whiten(encode_frames(codec, torch.from_numpy(frames))[None], codec.spec)[0].cpu()


def cut_to_shape(chunks_BCTHW: Iterable[torch.Tensor], shape: Shape) -> np.ndarray:
    """The first frames and the middle of the picture of one video in chunks, as (T, H, W, 3) uint8."""
    parts = []
    for chunk in chunks_BCTHW:
        top, left = ((a - b) // 2 for a, b in zip(chunk.shape[3:], (shape.height_px, shape.width_px), strict=True))
        part = chunk[0, :, :, top : top + shape.height_px, left : left + shape.width_px]
        pixels = ((part.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        parts.append(pixels.permute(1, 2, 3, 0).cpu().numpy())
    return np.concatenate(parts)[: shape.num_frames]


def _require_same(role: str, name: str, trained: str, found: str) -> None:
    if trained != found:
        raise UsageError(f"{role} {name!r} is {found}, but the run was trained with {trained}")
