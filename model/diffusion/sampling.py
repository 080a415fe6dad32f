"""Sampling: from texts, and clean first frames if any, to latents of any size and length.

Requests go through the transformer as one pack, with and without their texts side by side when guidance asks for both.

Shapes: C T H W a latent, L text tokens, E width of the text encoder, N tokens of all requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from model.diffusion.guidance import guide
from model.diffusion.objectives import Objective
from model.diffusion.samplers import SAMPLERS, Course
from model.diffusion.timesteps import timesteps
from model.packing.packs import Document, Pack, pack_documents
from model.packing.patches import unpatchify
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
    guidance: float = 4.0,
) -> list[Tensor]:
    """Sample the whitened latents of some clips, each (C, T, H, W), on the transformer's device.

    What is sampled of a request does not depend on the others.

    Args:
        requests: of one shape.
        objective: that the transformer was trained for.
        sampler: one of `SAMPLERS`.
        num_steps: steps of the sampler; the transformer runs once for each, or twice (`heun`).
        guidance: classifier-free guidance scale; 1 turns it off, and so it is for a request without text.
    Raises:
        ValueError: the latent does not divide into patches, a prefix does not fit it, or requests are not alike.
    """
    patch = transformer.config.patch
    device = transformer.final.weight.device
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    starts = [_start(request, generator) for request, generator in zip(requests, generators, strict=True)]
    if len({start.shape for start, _ in starts}) > 1:
        raise ValueError("requests that are sampled together must have one shape")
    texts = [[request.text_LE for request in requests]]
    if guidance != 1.0 and any(text is not None for text in texts[0]):
        texts.append([None] * len(requests))
    pack = _pack(transformer, requests, starts, texts).to(device)
    num_tokens = len(pack.tokens_NP) // len(texts)
    start_NP, given_NP = pack.tokens_NP[:num_tokens], pack.given_NP[:num_tokens]

    def denoise(x_NP: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        level = torch.full_like(pack.timestep_B, timestep)
        x_NP = torch.where(given_NP, start_NP, x_NP)
        answers = transformer(replace(pack, tokens_NP=x_NP.repeat(len(texts), 1), timestep_B=level)).chunk(len(texts))
        answer = answers[0] if len(texts) == 1 else guide(answers[0], answers[1], guidance)
        return objective.solve(answer.float(), x_NP, level[0])

    times = timesteps(num_steps, latent_shift(requests[0].latent_shape, patch))
    x_NP = SAMPLERS[sampler](start_NP, Course(denoise, objective.path, times, generators))
    x_NP = torch.where(given_NP, start_NP, x_NP)
    return [unpatchify(part, requests[0].latent_shape, patch) for part in x_NP.chunk(len(requests))]


def _start(request: Request, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise with the prefix in place, and what of it is given."""
    C, T, H, W = request.latent_shape
    start = torch.randn((C, T, H, W), generator=generator)
    given_THW = torch.zeros(T, 1, 1, dtype=torch.bool)
    if request.prefix_CTHW is not None:
        given = request.prefix_CTHW.shape[1]
        if given >= T or request.prefix_CTHW.shape != (C, given, H, W):
            raise ValueError(
                f"a prefix of {tuple(request.prefix_CTHW.shape)} does not start a latent of {(C, T, H, W)}"
            )
        start[:, :given] = request.prefix_CTHW
        given_THW[:given] = True
    return start, given_THW


def _pack(
    transformer: Transformer,
    requests: Sequence[Request],
    starts: Sequence[tuple[Tensor, Tensor]],
    texts: Sequence[Sequence[Tensor | None]],
) -> Pack:
    """All requests with the first of their texts, then with the second."""
    documents = [
        Document(start, given_THW, 1.0, request.latent_fps, text)
        for of_all in texts
        for request, (start, given_THW), text in zip(requests, starts, of_all, strict=True)
    ]
    return pack_documents(documents, transformer.config.patch, transformer.config.text_dim)
