"""What is asked of a sampler: a clip of a size, with what is given of it, and where sampling starts for that.

Shapes: C T H W a latent, L text tokens, E width of the text encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from model.diffusion.paths import Path
from model.packing.packs import LoneFrame


@dataclass(frozen=True)
class Given:
    """A part of a clip that is given. Latents are whitened."""

    latent_CTHW: Tensor
    """Of the clip's size, and as many frames as are given."""
    start: int = 0
    """Its first latent frame in the clip."""
    mask_THW: Tensor | None = None
    """Bool, True for what of it is given; all, without one."""
    shown: Literal["clean", "noisy", "blended"] = "clean"
    """How the transformer sees it: as a condition, which it must be trained for; or as noisy as the rest, with the
    noise of the start (Song et al. 2021, of images), which is what any transformer is trained on. `blended`: the latter
    up to a frame that every step chooses at random, from none to all, so that what was there goes over into what is
    sampled (randomized blending of StreamingT2V, Henschel et al. 2024)."""

    @property
    def end(self) -> int:
        return self.start + self.latent_CTHW.shape[1]


@dataclass(frozen=True)
class Request:
    """A clip to sample. Latents are whitened."""

    text_LE: Tensor | None
    latent_shape: tuple[int, int, int, int]
    latent_fps: float
    seed: int = 0
    given: tuple[Given, ...] = ()
    """Of several that give one place, the last counts."""
    frames: tuple[LoneFrame, ...] = ()
    """Frames that were encoded on their own, each at its time."""
    source_CTHW: Tensor | None = None
    """The clip that is edited."""
    kept_T: Tensor | None = None
    """Bool, (T,): frames that are there. Others are neither seen nor sampled, and come back as zeros."""
    period: int | None = None
    """Of a loop: frames after which it begins again. The first frame of the clip, which a causal codec encodes alone,
    is not part of it; the frames after it are, and those from `period` + 1 on repeat them."""
    told: Mapping[str, float] = field(default_factory=dict)
    """Conditions that do not follow from the latent: of `model.packing.packs.CONDITIONS`."""


@dataclass(frozen=True)
class Start:
    """Where the sampling of a request starts."""

    latent_CTHW: Tensor
    """With what is given clean in its place."""
    clean_THW: Tensor
    """Bool: what that is."""
    noise_CTHW: Tensor
    noisy: tuple[Given, ...]
    """What is given, and shown as noisy as the rest."""
    generator: torch.Generator
    """Chooses how far parts are blended."""

    def noisy_at(self, timestep: float, path: Path) -> tuple[Tensor, Tensor]:
        """What is shown as noisy as the rest, (C, T, H, W), and of which values that is true, (T, H, W)."""
        data_CTHW, shown_THW = torch.zeros_like(self.noise_CTHW), torch.zeros_like(self.clean_THW)
        for part in self.noisy:
            mask_THW = _mask(part)
            if part.shown == "blended":
                num_frames = part.end - part.start
                last = int(torch.randint(num_frames + 1, (), generator=self.generator))
                mask_THW = mask_THW & (torch.arange(num_frames) < last).view(-1, 1, 1)
            place = data_CTHW[:, part.start : part.end]
            data_CTHW[:, part.start : part.end] = torch.where(mask_THW, part.latent_CTHW, place)
            shown_THW[part.start : part.end] |= mask_THW
        return path.interpolate(data_CTHW, self.noise_CTHW, torch.tensor(timestep)), shown_THW & ~self.clean_THW


def start_of(request: Request, path: Path, timestep: float, generator: torch.Generator) -> Start:
    """Put together noise, source and what is given.

    Raises:
        ValueError: something does not fit the clip, or nothing is left to sample.
    """
    C, T, H, W = request.latent_shape
    wanted_THW = _kept(request)
    noise = torch.randn((C, T, H, W), generator=generator)
    start = noise.clone()
    if request.source_CTHW is not None:
        _require_shape("a source", request.source_CTHW, (C, T, H, W))
        start = path.interpolate(request.source_CTHW, noise, torch.tensor(timestep))
    clean_THW = torch.zeros(T, H, W, dtype=torch.bool)
    for part in request.given:
        _require_shape("what is given", part.latent_CTHW, (C, part.end - part.start, H, W))
        if not 0 <= part.start < part.end <= T:
            raise ValueError(f"latent frames {part.start} to {part.end} are given of a clip that has {T}")
        mask_THW = _mask(part)
        if part.shown != "blended":
            wanted_THW[part.start : part.end] &= ~mask_THW
        if part.shown == "clean":
            start[:, part.start : part.end] = torch.where(mask_THW, part.latent_CTHW, start[:, part.start : part.end])
            clean_THW[part.start : part.end] |= mask_THW
    if not wanted_THW.any():
        raise ValueError("all of the clip is given: nothing is left to sample")
    noisy = tuple(part for part in request.given if part.shown != "clean")
    return Start(start, clean_THW, noise, noisy, torch.Generator().manual_seed(request.seed))


def crossfaded(first_CTHW: Tensor, second_CTHW: Tensor) -> Tensor:
    """One latent that goes over into another from its first frame to its last, (C, T, H, W): as the source of an edit,
    two videos blended into one."""
    T = first_CTHW.shape[1]
    share_T = torch.linspace(0, 1, T, dtype=first_CTHW.dtype).view(1, T, 1, 1)
    return (1 - share_T) * first_CTHW + share_T * second_CTHW


def _mask(part: Given) -> Tensor:
    """What of a part is given, in its form."""
    mask_THW = torch.ones(1, 1, 1, dtype=torch.bool) if part.mask_THW is None else part.mask_THW
    return mask_THW.expand(part.latent_CTHW.shape[1:])


def _kept(request: Request) -> Tensor:
    """Which values there are, (T, H, W) bool."""
    _, T, H, W = request.latent_shape
    kept_T = torch.ones(T, dtype=torch.bool) if request.kept_T is None else request.kept_T
    return kept_T.view(T, 1, 1).repeat(1, H, W)


def _require_shape(what: str, latent_CTHW: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(latent_CTHW.shape) != shape:
        raise ValueError(f"{what} is a latent of {tuple(latent_CTHW.shape)}, not of {shape}")
