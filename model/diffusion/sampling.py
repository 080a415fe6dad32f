"""Sampling: from texts, and parts that are given if any, to latents of any size and length.

Requests go through the transformer as one pack, with and without their texts side by side when guidance asks for both.
What is given decides the task: nothing, text to video; the first latent frames, image to video or extension; frames
that were encoded on their own, interpolation; all but a region, inpainting. From a source that is noised in part, the
clip is an edit of it (SDEdit, Meng et al. 2022). What is given as noisy as the rest asks nothing of training.

A loop is a clip whose end repeats its beginning: tokens of one place in the loop have one value, and what is seen at
them is averaged (as overlapping windows are in MultiDiffusion, Bar-Tal et al. 2023). Turning the latent by a frame each
step (Mobius, Bi et al. 2025) would move the first latent frame, which a causal codec encodes alone.

Shapes: C T H W a latent, N tokens of all requests, K pairs of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from model.diffusion.guidance import Guidance
from model.diffusion.objectives import Objective
from model.diffusion.published_schedulers import published_timesteps
from model.diffusion.requests import Request, Start, start_of
from model.diffusion.samplers import SAMPLERS, Course
from model.diffusion.timesteps import timesteps
from model.packing.packs import Document, Pack, clip_tokens, pack_documents
from model.packing.patches import Patch, kept_shape, kept_tokens
from model.training.examples import latent_shift
from model.transformer.transformer import Transformer


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
        requests: of one shape, with the same frames left out, as many frames on their own and the same period.
        objective: that the transformer was trained for.
        sampler: one of `SAMPLERS`.
        num_steps: steps of the sampler from pure noise; the transformer runs once for each, or twice (`heun`).
        guidance: classifier-free guidance, or its scale alone; none without any text.
        strength: timestep up to which sources are noised, 0 to 1: at 0 they come back as they are, at 1 nothing of them
            is left. Steps at higher timesteps are left out.
        spacing: `even`, evenly spaced timesteps before the shift by size; or `diffusers`, those of the scheduler there.
    Raises:
        ValueError: the latent or the period does not divide into patches, what is given does not fit it, requests are
            not alike, or a strength below 1 without a source.
    """
    patch = transformer.config.patch
    device = transformer.final.weight.device
    shown = kept_shape(requests[0].kept_T, requests[0].latent_shape, patch)
    spaced = timesteps if spacing == "even" else partial(published_timesteps, objective.path)
    times = _times(spaced(num_steps, latent_shift(shown, patch)), strength)
    if strength < 1 and any(request.source_CTHW is None for request in requests):
        raise ValueError(f"a strength of {strength:g} is of an edit, and there is nothing to edit")
    if len({_form(request) for request in requests}) > 1:
        raise ValueError("requests that are sampled together must have one shape and as many frames on their own")
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    starts = [
        start_of(request, objective.path, times[0], one) for request, one in zip(requests, generators, strict=True)
    ]
    if not isinstance(guidance, Guidance):
        guidance = Guidance(guidance)
    texts = [request.text_LE for request in requests]
    guided = guidance.scale != 1 and any(text is not None for text in texts)
    documents = _documents(requests, starts, texts, patch)
    pack = pack_documents(documents, patch, transformer.config.text_dim)
    denoiser = _Denoiser(
        transformer,
        objective,
        guidance,
        starts,
        documents,
        pack.to(device),
        _with_unguided(transformer, requests, starts, documents).to(device) if guided else None,
        _repeated(requests[0].period, pack, len(requests), requests[0].latent_shape, patch).to(device),
    )
    learned = denoiser.with_variance if objective.variance == "learned" else None
    x_NP = SAMPLERS[sampler](denoiser.pack.tokens_NP, Course(denoiser, objective.path, times, generators, learned))
    x_NP = denoiser.with_given(x_NP, 0.0)[clip_tokens(pack).to(device)]
    return [document.values(part, patch) for document, part in zip(documents, x_NP.chunk(len(requests)), strict=True)]


@dataclass(frozen=True)
class _Denoiser:
    """Asks the transformer for the data and the noise of a point, with what is given in its place."""

    transformer: Transformer
    objective: Objective
    guidance: Guidance
    starts: Sequence[Start]
    documents: Sequence[Document]
    pack: Pack
    """All requests with their texts; its tokens hold what is given."""
    guided: Pack | None
    """The same and then all without texts; None if nothing is guided."""
    repeated_2K: Tensor
    """Rows of a loop's tokens, and of those that repeat them."""

    def __call__(self, x_NP: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        return self._solved(x_NP, timestep)[:2]

    def with_variance(self, x_NP: Tensor, timestep: float) -> tuple[Tensor, Tensor, Tensor]:
        """And v of the variance that the transformer has learned."""
        data_NP, noise_NP, v_NP = self._solved(x_NP, timestep)
        assert v_NP is not None
        return data_NP, noise_NP, v_NP

    def with_given(self, x_NP: Tensor, timestep: float) -> Tensor:
        x_NP = torch.where(self.pack.given_NP, self.pack.tokens_NP, x_NP)
        if any(start.noisy for start in self.starts):
            shown = [start.noisy_at(timestep, self.objective.path) for start in self.starts]
            noisy_NP, is_noisy_NP = (self._at_clips(values) for values in zip(*shown, strict=True))
            x_NP = torch.where(is_noisy_NP, noisy_NP, x_NP)
        first_K, again_K = self.repeated_2K
        return x_NP.index_copy(0, again_K, x_NP[first_K])

    def _at_clips(self, values: Sequence[Tensor]) -> Tensor:
        """Values of the form of the latents, or of one channel, of each request, at its tokens."""
        at_NP = torch.zeros(self.pack.tokens_NP.shape, dtype=values[0].dtype)
        of_clips = [
            document.tokens(one.expand(document.latent_CTHW.shape), self.transformer.config.patch)
            for document, one in zip(self.documents, values, strict=True)
        ]
        at_NP[clip_tokens(self.pack)] = torch.cat(of_clips)
        return at_NP.to(self.pack.tokens_NP.device)

    def _solved(self, point_NP: Tensor, timestep: float) -> tuple[Tensor, Tensor, Tensor | None]:
        x_NP = self.with_given(point_NP, timestep)
        guided = self.guided if self.guidance.is_used_at(timestep) else None
        pack = guided or self.pack
        level_B = torch.full_like(pack.timestep_B, timestep)
        seen = replace(pack, tokens_NP=x_NP.repeat(2, 1) if guided else x_NP, timestep_B=level_B)
        answers = [self.objective.split(answer.float()) for answer in self.transformer(seen).split(len(x_NP))]
        prediction_NP, v_NP = answers[0]
        if guided:
            prediction_NP = self._guided(prediction_NP, answers[1][0])
        level = x_NP.new_tensor(timestep)
        data_NP, noise_NP = self.objective.solve(self._looped(prediction_NP), x_NP, level)
        if any(start.noisy for start in self.starts):  # the noise of the point itself, which goes on from where it is
            alpha, sigma = self.objective.path.at(level)
            noise_NP = (point_NP - alpha * data_NP) / sigma
        return data_NP, noise_NP, v_NP

    def _looped(self, answer_NP: Tensor) -> Tensor:
        """With one answer, the mean, at tokens that have one value."""
        first_K, again_K = self.repeated_2K
        mean_KP = (answer_NP[first_K] + answer_NP[again_K]) / 2
        return answer_NP.index_copy(0, first_K, mean_KP).index_copy(0, again_K, mean_KP)

    def _guided(self, conditional_NP: Tensor, unconditional_NP: Tensor) -> Tensor:
        """Guided where nothing is given; each request by the deviation of its own values."""
        wanted_NP = ~self.pack.given_NP
        lengths = wanted_NP.view(len(self.documents), -1).sum(dim=1).tolist()
        values = self.guidance.guide(conditional_NP[wanted_NP], unconditional_NP[wanted_NP], lengths)
        return conditional_NP.masked_scatter(wanted_NP, values)


def _times(times: Sequence[float], strength: float) -> list[float]:
    """Falling timesteps from `strength` on; that one alone for 0.

    Raises:
        ValueError: a strength outside 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"a strength is from 0 to 1, not {strength:g}")
    return [strength, *(time for time in times if time < strength)]


def _form(request: Request) -> tuple[Any, ...]:
    """What requests that are sampled together have in common."""
    kept = None if request.kept_T is None else tuple(request.kept_T.tolist())
    return request.latent_shape, len(request.frames), kept, request.period


def _documents(
    requests: Sequence[Request], starts: Sequence[Start], texts: Sequence[Tensor | None], patch: Patch
) -> list[Document]:
    return [
        Document(
            start.latent_CTHW,
            start.clean_THW,
            1.0,
            request.latent_fps,
            text,
            request.frames,
            request.told,
            kept_tokens(request.kept_T, request.latent_shape, patch),
        )
        for request, start, text in zip(requests, starts, texts, strict=True)
    ]


def _with_unguided(
    transformer: Transformer, requests: Sequence[Request], starts: Sequence[Start], documents: Sequence[Document]
) -> Pack:
    """All requests with their texts, then all without."""
    patch = transformer.config.patch
    without = _documents(requests, starts, [None] * len(requests), patch)
    return pack_documents([*documents, *without], patch, transformer.config.text_dim)


def _repeated(period: int | None, pack: Pack, num_requests: int, latent_shape: tuple[int, ...], patch: Patch) -> Tensor:
    """Rows of a loop's tokens and of those that repeat them, (2, K) int64.

    Raises:
        ValueError: the clip does not have all of a loop and some of it twice, in whole patches.
    """
    if period is None:
        return torch.zeros(2, 0, dtype=torch.int64)
    T, patches = latent_shape[1] // patch[0], period // patch[0]
    if period % patch[0] or not patches + 1 < T <= 2 * patches + 1:
        raise ValueError(
            f"a clip of {latent_shape[1]} latent frames does not show a loop of {period} with its beginning"
        )
    rows = clip_tokens(pack).view(num_requests, T, -1)
    return torch.stack([rows[:, 1 : T - patches].reshape(-1), rows[:, 1 + patches :].reshape(-1)])
