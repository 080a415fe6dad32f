"""A clip of the size and length that is asked for: what must be sampled for it, and the sampling.

The codec and the patches fix multiples of sides and lengths; more is sampled where needed, as clips were padded for
training, and cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from jobs.console.naming import naming
from jobs.sampling.condition import Source
from jobs.sampling.task import Parts, Task, parts_of
from jobs.training.run_config import RunConfig
from model.codec.loading import load_codec
from model.codec.padding import cropped
from model.codec.spec import CodecPlan
from model.codec.video_codec import VideoCodec, unwhiten
from model.diffusion.guidance import Guidance
from model.diffusion.objectives import Objective
from model.diffusion.requests import Request
from model.diffusion.sampling import sample_latent
from model.readers.text_encoder import load_text_encoder
from model.training.exported import load_transformer
from model.transformer.transformer import Transformer
from pipeline.encode.latents import TooManyTokens, largest_plan
from schemas.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """How a clip is sampled."""

    sampler: str
    """How noise becomes data: one of `model.diffusion.samplers.SAMPLERS`."""
    steps: int
    """Steps of the sampler."""
    guidance: Guidance
    """How far what is sampled follows the text."""
    seed: int
    """Seed of the noise."""
    motion_px_s: float | None = None
    """How fast things move, as measured of training clips; None to leave it open."""
    spacing: str = "even"
    """Noise levels of the steps: `even` or `diffusers`."""

    @property
    def told(self) -> dict[str, float]:
        """Conditions that do not follow from the clip's shape."""
        return {} if self.motion_px_s is None else {"motion": self.motion_px_s}


def plan_of(
    size: str | None,
    seconds: float | None,
    config: RunConfig,
    source: Source | None,
    *,
    is_image: bool,
    is_edit: bool = False,
) -> CodecPlan:
    """Size and length asked for, or the usual ones, as the valid part of a plan of what is sampled.

    Args:
        size: WIDTHxHEIGHT in pixels.
        seconds: above 0.
        is_image: one frame, where no length is asked for.
        is_edit: the source is edited and not continued.
    Raises:
        UsageError: not a size, too short to continue the source, or too long for any size.
    """
    if size:
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
        if not match:
            raise UsageError(f"--size {size}: not of the form WIDTHxHEIGHT, as 128x96")
        width, height = (int(side) for side in match.groups())
    elif source is not None:
        width, height = source.width_px, source.height_px
    else:
        width, height = config.usual_width_px, config.usual_height_px
    num_frames = config.usual_num_frames
    if seconds is not None:
        num_frames = max(round(seconds * config.fps), 1)
    elif is_image:
        num_frames = 1
    patch = tuple(config.train["model"]["patch"])
    if source is not None and not size:
        plan = _reduced_plan(config, num_frames, (width, height), patch)
    else:
        plan = config.codec.plan(num_frames, width, height, patch)
    if source is not None and not is_edit and plan.latent_shape[1] < 2:
        raise UsageError(f"{num_frames} frame leaves nothing to sample after {source.path}; ask for more --seconds")
    return plan


def _reduced_plan(config: RunConfig, num_frames: int, size: tuple[int, int], patch: tuple[int, int, int]) -> CodecPlan:
    """Of the size of a source, or the largest of that aspect ratio whose clip the transformer has room for."""
    try:
        return largest_plan(
            config.codec, num_frames, size, config.max_pixels_px, config.train["tokens_per_pack"], patch, multiple=2
        )
    except TooManyTokens as error:
        raise UsageError(f"--seconds: {error}") from error


@dataclass(frozen=True)
class Model:
    """What samples: a run's transformer with its codec, asked for one prompt."""

    config: RunConfig
    codec: VideoCodec
    transformer: Transformer
    text_LE: torch.Tensor | None

    def frames(self, plan: CodecPlan, parts: Parts, settings: Settings, *, strength: float = 1.0) -> np.ndarray:
        """A clip of a plan's valid size, (T, H, W, 3) uint8 RGB."""
        return self.decoded(self.latent(plan.latent_shape, parts, settings, strength=strength), plan)

    def latent(
        self, shape: tuple[int, int, int, int], parts: Parts, settings: Settings, *, strength: float = 1.0
    ) -> torch.Tensor:
        """The whitened latent of a clip, (C, T, H, W)."""
        request = Request(
            self.text_LE,
            shape,
            self.config.fps / self.config.stride_thw[0],
            settings.seed,
            parts.given,
            parts.frames,
            parts.source_CTHW,
            parts.kept_T,
            parts.period,
            settings.told,
        )
        return sample_latent(
            self.transformer,
            request,
            Objective.of(self.config.objective),
            sampler=settings.sampler,
            num_steps=settings.steps,
            guidance=settings.guidance,
            strength=strength,
            spacing=settings.spacing,
        )

    @torch.no_grad()
    def decoded(self, latent_CTHW: torch.Tensor, plan: CodecPlan) -> np.ndarray:
        return clip_of(self.codec.decode_stream([unwhiten(latent_CTHW[None], self.codec.spec)]), plan)


def load_model(run: Path, prompt: str, config: RunConfig, settings: Settings) -> Model:
    """Load all that a run needs to sample.

    Raises:
        UsageError: no checkpoint, encoders that are not those of the run, or a setting that it was not trained with.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with naming("autoencoder of the run", config.autoencoder):
        codec = load_codec(config.autoencoder, device, getattr(torch, config.codec_dtype))
    with naming("text encoder of the run", config.text_encoder):
        text_encoder = load_text_encoder(config.text_encoder, dtype=config.text_dtype)
    _require_same("autoencoder", config.autoencoder, config.autoencoder_fingerprint, codec.spec.fingerprint)
    _require_same("text encoder", config.text_encoder, config.text_encoder_fingerprint, text_encoder.fingerprint)
    with naming(f"run {run}"):
        transformer = load_transformer(run).to(device)
    for name in settings.told:
        if name not in transformer.config.conditions:
            raise UsageError(f"--{name}: run {run} was not trained with it (train.model.conditions)")
    text_LE = torch.from_numpy(text_encoder.encode([prompt])[0]) if prompt else None
    return Model(config, codec, transformer, text_LE)


@torch.no_grad()
def sample_frames(
    run: Path, prompt: str, config: RunConfig, plan: CodecPlan, task: Task, settings: Settings
) -> np.ndarray:
    """Sample a clip: (T, H, W, 3) uint8 RGB of exactly the size and length asked for.

    Raises:
        UsageError: no checkpoint, a bad setting, encoders that are not those of the run, or a task that it was not
            trained for.
    """
    model = load_model(run, prompt, config, settings)
    if task.last is not None and not model.transformer.config.lone_frames:
        raise UsageError(f"--last: run {run} was not trained with last frames (train.model.lone_frames)")
    parts = parts_of(task, model.codec, plan, config)
    return model.frames(plan, parts, settings, strength=1.0 if task.strength is None else task.strength)


def clip_of(chunks_BCTHW: Iterable[torch.Tensor], plan: CodecPlan) -> np.ndarray:
    """The valid part of one video in chunks of the encoded size, as (T, H, W, 3) uint8."""
    parts = []
    for chunk in chunks_BCTHW:
        pixels = ((chunk[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        parts.append(pixels.permute(1, 2, 3, 0).cpu().numpy())
    return cropped(np.concatenate(parts), plan)


def _require_same(role: str, name: str, trained: str, found: str) -> None:
    if trained != found:
        raise UsageError(f"{role} {name!r} is {found}, but the run was trained with {trained}")
