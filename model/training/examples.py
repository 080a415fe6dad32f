"""From a stored sample to a training example: text, task, timestep and noise, and the loss on what comes back.

Everything random about a sample is drawn from (seed, sample id, epoch), so neither the number of workers nor the pack
it travels in changes what is learnt from it.

Shapes: C T H W a latent, N tokens, P values of a patch, L text tokens, E width of the text encoder, B documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.tasks import draw_task
from model.diffusion.timesteps import Density, size_shift
from model.diffusion.variance import bound_loss
from model.packing.packs import Document, LoneFrame, Pack, clip_tokens, pack_documents, packing_order
from model.packing.patches import Patch, grid_shape, kept_shape, kept_tokens
from model.training.masks import NO_MASKS, Masks
from schemas.identity import digest
from schemas.recipe.train import TaskMix

USUAL_TASKS = TaskMix()
VELOCITY = Objective()


@dataclass(frozen=True)
class Sample:
    """What is stored of a clip: raw latent, its texts as embeddings with the share of draws that each is given, and its
    latent frames a second. Without shares all texts have the same.

    Latents of single frames, (C, 1, H, W) raw, are by the seconds from the clip's first frame at which they are shown.
    """

    sample_id: str
    latent_CTHW: np.ndarray
    texts_LE: Sequence[np.ndarray]
    latent_fps: float
    text_shares: Sequence[float] = ()
    frame_latents: Mapping[float, np.ndarray] = field(default_factory=dict)
    video_id: str = ""
    """The video that it is of, if others may be of it too."""
    motion_px_s: float | None = None
    """As measured; None for an image."""


@dataclass(frozen=True)
class LatentStatistics:
    """Mean and deviation of each latent channel, by which raw latents are whitened just before use."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def whiten(self, raw_CTHW: np.ndarray) -> Tensor:
        """Raw latent of any float type to float32 of about unit variance."""
        return (torch.from_numpy(raw_CTHW.astype(np.float32)) - self._column(self.mean)) / self._column(self.std)

    @staticmethod
    def _column(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Example:
    """A document for the transformer, what it should answer, and the weight of its squared error."""

    document: Document
    target_CTHW: Tensor
    weight: float


@dataclass(frozen=True)
class Targets:
    """What the transformer should answer to a pack: (N, P), and the weight of each document, (B,)."""

    answer_NP: Tensor
    weight_B: Tensor

    def to(self, device: torch.device | str) -> Targets:
        return Targets(self.answer_NP.to(device), self.weight_B.to(device))


def draw_example(
    sample: Sample,
    statistics: LatentStatistics,
    objective: Objective,
    density: Density,
    *,
    patch: Patch,
    seed: int,
    epoch: int,
    text_drop: float,
    motion_drop: float = 0.0,
    tasks: TaskMix = USUAL_TASKS,
    lone_frames: bool = False,
    masks: Masks = NO_MASKS,
) -> Example:
    """Noise a sample for one epoch.

    Args:
        text_drop, motion_drop: share of samples whose text is dropped, and to which their motion is not told.
        lone_frames: whether the last frame may be given, encoded on its own, where the sample has it.
        masks: which tokens are left out or routed.
    """
    key = seed, sample.sample_id, epoch
    generator = generator_of(*key)
    data = statistics.whiten(sample.latent_CTHW)
    choice, drop = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    text = None if drop < text_drop else choose_text(sample, choice)
    last = last_frame(sample, statistics) if lone_frames else None
    drawn = draw_task(tuple(data.shape), generator, tasks, has_last=last is not None)
    timestep = density.draw(generator, latent_shift(kept_shape(drawn.kept_T, data.shape, patch), patch))
    example = noised_example(objective, data, sample.latent_fps, text, drawn.given_THW, timestep, generator)
    is_told = torch.rand((), generator=generator_of(*key, "motion"), dtype=torch.float64).item() >= motion_drop
    document = replace(
        example.document,
        frames=(last,) if last is not None and drawn.last_frame else (),
        told=told_of(sample) if is_told else {},
        kept_N=kept_tokens(drawn.kept_T, data.shape, patch),
    )
    return replace(example, document=masks.over(document, patch, generator_of(*key, "masks")))


def generator_of(*key: int | str) -> torch.Generator:
    """The random numbers of one purpose: those of one are the same whatever is drawn for others."""
    return torch.Generator().manual_seed(int(digest(*key), 16) >> 1)


def told_of(sample: Sample) -> dict[str, float]:
    """Conditions of a sample that do not follow from its latent."""
    return {} if sample.motion_px_s is None else {"motion": sample.motion_px_s}


def last_frame(sample: Sample, statistics: LatentStatistics) -> LoneFrame | None:
    """The sample's last frame, whitened, if it was encoded on its own: one that is shown in the last latent frame."""
    seconds = max(sample.frame_latents, default=0.0)
    if seconds * sample.latent_fps <= sample.latent_CTHW.shape[1] - 2 or not sample.frame_latents:
        return None
    return LoneFrame(statistics.whiten(sample.frame_latents[seconds])[:, 0], seconds)


def noised_example(
    objective: Objective,
    data_CTHW: Tensor,
    latent_fps: float,
    text_LE: Tensor | None,
    given_THW: Tensor,
    timestep: float,
    generator: torch.Generator,
) -> Example:
    """Move what is not given along the path to `timestep`."""
    noise = torch.randn(data_CTHW.shape, generator=generator)
    level = torch.tensor(timestep, dtype=torch.float32)
    noisy = torch.where(given_THW, data_CTHW, objective.path.interpolate(data_CTHW, noise, level))
    document = Document(noisy, given_THW, timestep, latent_fps, text_LE)
    return Example(document, objective.target(data_CTHW, noise, level), float(objective.weight(level)))


def choose_text(sample: Sample, choice: float) -> Tensor | None:
    """One of the sample's texts by a number in [0, 1), or None if it has none."""
    if not sample.texts_LE:
        return None
    shares = np.cumsum(sample.text_shares or [1.0] * len(sample.texts_LE))
    index = min(int(np.searchsorted(shares, choice * shares[-1], side="right")), len(sample.texts_LE) - 1)
    return torch.from_numpy(np.asarray(sample.texts_LE[index], dtype=np.float32))


def latent_shift(latent_shape: Sequence[int], patch: Patch) -> float:
    """The timestep shift of a latent's size."""
    T, H, W = grid_shape(latent_shape, patch)
    return size_shift(H * W, T)


def pack_examples(examples: Sequence[Example], patch: Patch, text_dim: int) -> tuple[Pack, Targets]:
    """A pack, and what should be answered to it."""
    order = packing_order([tuple(e.target_CTHW.shape) for e in examples])
    examples = [examples[i] for i in order]
    pack = pack_documents([e.document for e in examples], patch, text_dim)
    answer_NP = torch.zeros_like(pack.tokens_NP)
    answer_NP[clip_tokens(pack)] = torch.cat([e.document.tokens(e.target_CTHW, patch) for e in examples])
    return pack, Targets(answer_NP, torch.tensor([e.weight for e in examples], dtype=torch.float32))


def document_losses(answer_NA: Tensor, targets: Targets, pack: Pack, objective: Objective = VELOCITY) -> Tensor:
    """Weighted mean squared error of each document over its values that are not given, of the tokens that are in the
    pack, (B,) float32.

    Where the objective learns the variance, answers have 2 P values a token, and the bound of v is added.
    """
    prediction_NP, v_NP = objective.split(answer_NA.float())
    squared_NP = (prediction_NP - targets.answer_NP.float()).square()
    losses_B = targets.weight_B * _means_of_wanted(squared_NP, pack)
    if v_NP is None:
        return losses_B
    lengths_B = torch.tensor(pack.table.lengths, device=v_NP.device)
    timestep_N1 = pack.timestep_B.repeat_interleave(lengths_B)[:, None]
    return losses_B + _means_of_wanted(bound_loss(objective, squared_NP, v_NP, timestep_N1), pack)


def _means_of_wanted(values_NP: Tensor, pack: Pack) -> Tensor:
    """The mean of each document over its values that are not given, (B,)."""
    wanted_NP, lengths = (~pack.given_NP).float(), pack.table.lengths
    sums = torch.stack([part.sum() for part in (values_NP * wanted_NP).split(lengths)])
    counts = torch.stack([part.sum() for part in wanted_NP.split(lengths)])
    return sums / counts
