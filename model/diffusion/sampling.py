"""Sampling: from texts, and parts that are given if any, to latents of any size and length.

Requests go through the transformer as one pack, with and without their texts side by side when guidance asks for both.
What is given decides the task: nothing, text to video; the first latent frames, image to video or extension; frames
that were encoded on their own, interpolation; all but a region, inpainting. From a source that is noised in part, the
clip is an edit of it (SDEdit, Meng et al. 2022).

Shapes: C T H W a latent, L text tokens, E width of the text encoder, N tokens of all requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from model.diffusion.guidance import Guidance
from model.diffusion.objectives import Objective
from model.diffusion.published_schedulers import published_timesteps
from model.diffusion.samplers import SAMPLERS, Course
from model.diffusion.timesteps import timesteps
from model.packing.packs import Document, LoneFrame, Pack, clip_tokens, pack_documents
from model.packing.patches import unpatchify
from model.training.examples import latent_shift
from model.transformer.transformer import Transformer


@dataclass(frozen=True)
class Given:
    """A part of a clip that is given. Latents are whitened."""

    latent_CTHW: Tensor
    """Of the clip's size, and as many frames as are given."""
    start: int = 0
    """Its first latent frame in the clip."""
    mask_THW: Tensor | None = None
    """Bool, True for what of it is given; all, without one."""


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
    told: Mapping[str, float] = field(default_factory=dict)
    """Conditions that do not follow from the latent: of `model.packing.packs.CONDITIONS`."""


def sample_latent(transformer: Transformer, request: Request, objective: Objective, **settings: Any) -> Tensor:
    """Sample one clip's whitened latent, (C, T, H, W), with the settings of `sample_latents`."""
    return sample_latents(transformer, [request], objective, **settings)[0]


@torch.no_grad()
def sample_latents(
    transformer: Transformer,
    requests: Sequence[Request],
    objective: Objective,
    *,
    sampler: str = "euler",
    num_steps: int = 30,
    guidance: Guidance | float = 4.0,
    strength: float = 1.0,
    spacing: str = "even",
) -> list[Tensor]:
    """Sample the whitened latents of some clips, each (C, T, H, W), on the transformer's device.

    What is sampled of a request does not depend on the others.

    Args:
        requests: of one shape, with as many frames on their own.
        objective: that the transformer was trained for.
        sampler: one of `SAMPLERS`.
        num_steps: steps of the sampler from pure noise; the transformer runs once for each, or twice (`heun`).
        guidance: classifier-free guidance, or its scale alone; none without any text.
        strength: timestep up to which sources are noised, 0 to 1: at 0 they come back as they are, at 1 nothing of them
            is left. Steps at higher timesteps are left out.
        spacing: `even`, evenly spaced timesteps before the shift by size; or `diffusers`, those of the scheduler there.
    Raises:
        ValueError: the latent does not divide into patches, what is given does not fit it, requests are not alike, or a
            strength below 1 without a source.
    """
    patch = transformer.config.patch
    device = transformer.final.weight.device
    spaced = timesteps if spacing == "even" else partial(published_timesteps, objective.path)
    times = _times(spaced(num_steps, latent_shift(requests[0].latent_shape, patch)), strength)
    if strength < 1 and any(request.source_CTHW is None for request in requests):
        raise ValueError(f"a strength of {strength:g} is of an edit, and there is nothing to edit")
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    starts = [_start(request, objective, times[0], one) for request, one in zip(requests, generators, strict=True)]
    if len({(start.shape, len(r.frames)) for (start, _), r in zip(starts, requests, strict=True)}) > 1:
        raise ValueError("requests that are sampled together must have one shape and as many frames on their own")
    if not isinstance(guidance, Guidance):
        guidance = Guidance(guidance)
    texts = [request.text_LE for request in requests]
    guided = guidance.scale != 1 and any(text is not None for text in texts)
    denoiser = _Denoiser(
        transformer,
        objective,
        guidance,
        _pack(transformer, requests, starts, [texts]).to(device),
        _pack(transformer, requests, starts, [texts, [None] * len(texts)]).to(device) if guided else None,
        len(requests),
    )
    learned = denoiser.with_variance if objective.variance == "learned" else None
    x_NP = denoiser.pack.tokens_NP
    x_NP = SAMPLERS[sampler](x_NP, Course(denoiser, objective.path, times, generators, learned))
    x_NP = denoiser.with_given(x_NP)[clip_tokens(denoiser.pack).to(device)]
    return [unpatchify(part, requests[0].latent_shape, patch) for part in x_NP.chunk(len(requests))]


@dataclass(frozen=True)
class _Denoiser:
    """Asks the transformer for the data and the noise of a point, with what is given in its place."""

    transformer: Transformer
    objective: Objective
    guidance: Guidance
    pack: Pack
    """All requests with their texts; its tokens hold what is given."""
    guided: Pack | None
    """The same and then all without texts; None if nothing is guided."""
    num_requests: int

    def __call__(self, x_NP: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        return self._solved(x_NP, timestep)[:2]

    def with_variance(self, x_NP: Tensor, timestep: float) -> tuple[Tensor, Tensor, Tensor]:
        """And v of the variance that the transformer has learned."""
        data_NP, noise_NP, v_NP = self._solved(x_NP, timestep)
        assert v_NP is not None
        return data_NP, noise_NP, v_NP

    def with_given(self, x_NP: Tensor) -> Tensor:
        return torch.where(self.pack.given_NP, self.pack.tokens_NP, x_NP)

    def _solved(self, x_NP: Tensor, timestep: float) -> tuple[Tensor, Tensor, Tensor | None]:
        x_NP = self.with_given(x_NP)
        guided = self.guided if self.guidance.is_used_at(timestep) else None
        pack = guided or self.pack
        level_B = torch.full_like(pack.timestep_B, timestep)
        seen = replace(pack, tokens_NP=x_NP.repeat(2, 1) if guided else x_NP, timestep_B=level_B)
        answers = [self.objective.split(answer.float()) for answer in self.transformer(seen).split(len(x_NP))]
        prediction_NP, v_NP = answers[0]
        if guided:
            prediction_NP = self._guided(prediction_NP, answers[1][0])
        return *self.objective.solve(prediction_NP, x_NP, x_NP.new_tensor(timestep)), v_NP

    def _guided(self, conditional_NP: Tensor, unconditional_NP: Tensor) -> Tensor:
        """Guided where nothing is given; each request by the deviation of its own values."""
        wanted_NP = ~self.pack.given_NP
        lengths = wanted_NP.view(self.num_requests, -1).sum(dim=1).tolist()
        values = self.guidance.guide(conditional_NP[wanted_NP], unconditional_NP[wanted_NP], lengths)
        return conditional_NP.masked_scatter(wanted_NP, values)


def crossfaded(first_CTHW: Tensor, second_CTHW: Tensor) -> Tensor:
    """One latent that goes over into another from its first frame to its last, (C, T, H, W): as the source of an edit,
    two videos blended into one."""
    T = first_CTHW.shape[1]
    share_T = torch.linspace(0, 1, T, dtype=first_CTHW.dtype).view(1, T, 1, 1)
    return (1 - share_T) * first_CTHW + share_T * second_CTHW


def _times(times: Sequence[float], strength: float) -> list[float]:
    """Falling timesteps from `strength` on; that one alone for 0.

    Raises:
        ValueError: a strength outside 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"a strength is from 0 to 1, not {strength:g}")
    return [strength, *(time for time in times if time < strength)]


def _start(
    request: Request, objective: Objective, timestep: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Where sampling starts with what is given in place, and which values that is, (T, H, W)."""
    C, T, H, W = request.latent_shape
    start = torch.randn((C, T, H, W), generator=generator)
    if request.source_CTHW is not None:
        _require_shape("a source", request.source_CTHW, (C, T, H, W))
        start = objective.path.interpolate(request.source_CTHW, start, torch.tensor(timestep))
    given_THW = torch.zeros(T, H, W, dtype=torch.bool)
    for part in request.given:
        end = part.start + part.latent_CTHW.shape[1]
        _require_shape("what is given", part.latent_CTHW, (C, end - part.start, H, W))
        if not 0 <= part.start < end <= T:
            raise ValueError(f"latent frames {part.start} to {end} are given of a clip that has {T}")
        mask_THW = torch.ones(1, 1, 1, dtype=torch.bool) if part.mask_THW is None else part.mask_THW
        start[:, part.start : end] = torch.where(mask_THW, part.latent_CTHW, start[:, part.start : end])
        given_THW[part.start : end] |= mask_THW
    if given_THW.all():
        raise ValueError("all of the clip is given: nothing is left to sample")
    return start, given_THW


def _require_shape(what: str, latent_CTHW: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(latent_CTHW.shape) != shape:
        raise ValueError(f"{what} is a latent of {tuple(latent_CTHW.shape)}, not of {shape}")


def _pack(
    transformer: Transformer,
    requests: Sequence[Request],
    starts: Sequence[tuple[Tensor, Tensor]],
    texts: Sequence[Sequence[Tensor | None]],
) -> Pack:
    """All requests with the first of their texts, then with the second."""
    documents = [
        Document(start, given_THW, 1.0, request.latent_fps, text, request.frames, request.told)
        for of_all in texts
        for request, (start, given_THW), text in zip(requests, starts, of_all, strict=True)
    ]
    return pack_documents(documents, transformer.config.patch, transformer.config.text_dim)
