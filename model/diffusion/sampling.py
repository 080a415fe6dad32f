"""Sampling: from texts, and clean first frames if any, to latents of any size and length.

Requests go through the transformer as one pack, with and without their texts side by side when guidance asks for both.

Shapes: C T H W a latent, L text tokens, E width of the text encoder, N tokens of all requests, M those with noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from model.diffusion.guidance import Guidance
from model.diffusion.objectives import Objective
from model.diffusion.samplers import SAMPLERS, Course
from model.diffusion.timesteps import timesteps
from model.packing.packs import Document, Pack, pack_documents
from model.packing.patches import patchify, unpatchify
from model.training.examples import latent_shift
from model.transformer.transformer import Transformer


@dataclass(frozen=True)
class Request:
    """A clip to sample. Latents are whitened."""

    text_LE: Tensor | None
    latent_shape: tuple[int, int, int, int]
    latent_fps: float
    seed: int = 0
    prefix_CTHW: Tensor | None = None
    """Latent frames that the clip starts with."""


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
) -> list[Tensor]:
    """Sample the whitened latents of some clips, each (C, T, H, W), on the transformer's device.

    What is sampled of a request does not depend on the others.

    Args:
        requests: of one shape, with as many frames given.
        objective: that the transformer was trained for.
        sampler: one of `SAMPLERS`.
        num_steps: steps of the sampler; the transformer runs once for each, or twice (`heun`).
        guidance: classifier-free guidance, or its scale alone; none without any text.
    Raises:
        ValueError: the latent does not divide into patches, a prefix does not fit it, or requests are not alike.
    """
    patch = transformer.config.patch
    device = transformer.final.weight.device
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    starts = [_start(request, generator) for request, generator in zip(requests, generators, strict=True)]
    if len({(start.shape, int(clean_T.sum())) for start, clean_T in starts}) > 1:
        raise ValueError("requests that are sampled together must have one shape and as many frames given")
    if not isinstance(guidance, Guidance):
        guidance = Guidance(guidance)
    texts = [[request.text_LE for request in requests]]
    conditional = _pack(transformer, requests, starts, texts).to(device)
    has_text = any(text is not None for text in texts[0])
    texts.append([None] * len(requests))
    both = _pack(transformer, requests, starts, texts).to(device)
    tokens_NP = torch.cat([patchify(start, patch) for start, _ in starts]).to(device)
    noisy_N = ~conditional.clean_N

    def answered(x_MP: Tensor, timestep: float) -> tuple[Tensor, Tensor | None]:
        """What is predicted of a point, guided, and v where the variance is learned."""
        is_guided = has_text and guidance.is_used_at(timestep)
        pack = both if is_guided else conditional
        level_B = torch.full_like(pack.timestep_B, timestep)
        x_NP = tokens_NP.clone()
        x_NP[noisy_N] = x_MP
        seen = replace(pack, tokens_NP=x_NP.repeat(2, 1) if is_guided else x_NP, timestep_B=level_B)
        answers = [objective.split(answer[noisy_N].float()) for answer in transformer(seen).split(len(x_NP))]
        prediction_MP, v_MP = answers[0]
        if is_guided:
            prediction_MP = guidance.guide(prediction_MP, answers[1][0], _lengths(x_MP, requests))
        return prediction_MP, v_MP

    def denoise(x_MP: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        return objective.solve(answered(x_MP, timestep)[0], x_MP, x_MP.new_tensor(timestep))

    def denoise_with_variance(x_MP: Tensor, timestep: float) -> tuple[Tensor, Tensor, Tensor]:
        prediction_MP, v_MP = answered(x_MP, timestep)
        assert v_MP is not None
        return *objective.solve(prediction_MP, x_MP, x_MP.new_tensor(timestep)), v_MP

    times = timesteps(num_steps, latent_shift(requests[0].latent_shape, patch))
    learned = denoise_with_variance if objective.variance == "learned" else None
    course = Course(denoise, objective.path, times, generators, learned)
    tokens_NP[noisy_N] = SAMPLERS[sampler](tokens_NP[noisy_N], course)
    return [unpatchify(part, requests[0].latent_shape, patch) for part in tokens_NP.chunk(len(requests))]


def _lengths(x_MP: Tensor, requests: Sequence[Request]) -> list[int]:
    """Noisy tokens of each request, which are alike."""
    return [len(x_MP) // len(requests)] * len(requests)


def _start(request: Request, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise with the prefix in place, and which frames that is."""
    C, T, H, W = request.latent_shape
    start = torch.randn((C, T, H, W), generator=generator)
    clean_T = torch.zeros(T, dtype=torch.bool)
    if request.prefix_CTHW is not None:
        given = request.prefix_CTHW.shape[1]
        if given >= T or request.prefix_CTHW.shape != (C, given, H, W):
            raise ValueError(
                f"a prefix of {tuple(request.prefix_CTHW.shape)} does not start a latent of {(C, T, H, W)}"
            )
        start[:, :given] = request.prefix_CTHW
        clean_T[:given] = True
    return start, clean_T


def _pack(
    transformer: Transformer,
    requests: Sequence[Request],
    starts: Sequence[tuple[Tensor, Tensor]],
    texts: Sequence[Sequence[Tensor | None]],
) -> Pack:
    """All requests with the first of their texts, then with the second."""
    documents = [
        Document(start, clean_T, 1.0, request.latent_fps, text)
        for of_all in texts
        for request, (start, clean_T), text in zip(requests, starts, of_all, strict=True)
    ]
    return pack_documents(documents, transformer.config.patch, transformer.config.text_dim)
