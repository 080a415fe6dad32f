"""Sampling: from texts, and clean first frames if any, to latents of any size and length.

A request goes through the transformer as one pack, with and without its text side by side when guidance asks for both.

Shapes: C T H W a latent, L text tokens, E width of the text encoder, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint import with_tuples
from model.diffusion.guidance import guide
from model.diffusion.objectives import Objective
from model.diffusion.samplers import SAMPLERS, Course
from model.diffusion.timesteps import timesteps
from model.packing.packs import Document, Pack, pack_documents
from model.packing.patches import patchify, unpatchify
from model.training.checkpoints import RunFolder
from model.training.examples import latent_shift
from model.transformer.transformer import Transformer, TransformerConfig


@dataclass(frozen=True)
class Request:
    """A clip to sample. Latents are whitened."""

    text_LE: Tensor | None
    latent_shape: tuple[int, int, int, int]
    latent_fps: float
    seed: int = 0
    prefix_CTHW: Tensor | None = None
    """Latent frames that the clip starts with."""


def load_transformer(run_dir: Path | str) -> Transformer:
    """The averaged weights of a run's newest checkpoint, for inference.

    Raises:
        ValueError: the run has no checkpoint.
    """
    checkpoint = RunFolder(run_dir).newest()
    if checkpoint is None:
        raise ValueError(f"{run_dir} has no checkpoint: train it first")
    transformer = Transformer(TransformerConfig(**with_tuples(checkpoint.state()["transformer"])))
    transformer.load_state_dict(checkpoint.tensors("ema"))
    return transformer.eval().requires_grad_(False)


@torch.no_grad()
def sample_latent(
    transformer: Transformer,
    request: Request,
    objective: Objective,
    *,
    sampler: str = "euler",
    num_steps: int = 30,
    guidance: float = 4.0,
) -> Tensor:
    """Sample one clip's whitened latent, (C, T, H, W), on the transformer's device.

    Args:
        objective: that the transformer was trained for.
        sampler: one of `SAMPLERS`.
        num_steps: steps of the sampler; the transformer runs once for each, or twice (`heun`).
        guidance: classifier-free guidance scale; 1 turns it off, and so does a request without text.
    Raises:
        ValueError: the latent does not divide into patches, or the prefix does not fit it.
    """
    patch = transformer.config.patch
    device = transformer.final.weight.device
    generator = torch.Generator().manual_seed(request.seed)
    start, clean_T = _start(request, generator)
    texts = [request.text_LE] if request.text_LE is None or guidance == 1.0 else [request.text_LE, None]
    pack = _pack(transformer, request, start, clean_T, texts).to(device)
    tokens_NP = patchify(start, patch).to(device)
    noisy_N = ~pack.clean_N[: len(tokens_NP)]

    def denoise(x_MP: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        level = torch.full_like(pack.timestep_B, timestep)
        x_NP = tokens_NP.clone()
        x_NP[noisy_N] = x_MP
        answers = transformer(replace(pack, tokens_NP=x_NP.repeat(len(texts), 1), timestep_B=level)).chunk(len(texts))
        answer = answers[0] if len(texts) == 1 else guide(answers[0], answers[1], guidance)
        return objective.solve(answer[noisy_N].float(), x_MP, level[0])

    times = timesteps(num_steps, latent_shift(request.latent_shape, patch))
    tokens_NP[noisy_N] = SAMPLERS[sampler](tokens_NP[noisy_N], Course(denoise, objective.path, times, generator))
    return unpatchify(tokens_NP, request.latent_shape, patch)


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
    transformer: Transformer, request: Request, start: Tensor, clean_T: Tensor, texts: Sequence[Tensor | None]
) -> Pack:
    documents = [Document(start, clean_T, 1.0, request.latent_fps, text) for text in texts]
    return pack_documents(documents, transformer.config.patch, transformer.config.text_dim)
