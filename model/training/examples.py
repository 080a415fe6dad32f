"""From a stored sample to a training example: text, task, timestep and noise, and the loss on what comes back.

Everything random about a sample is drawn from (seed, sample id, epoch), so neither the number of workers nor the pack
it travels in changes what is learnt from it.

Shapes: C T H W a latent, N tokens, P values of a patch, L text tokens, E width of the text encoder, B documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.tasks import draw_clean_frames
from model.diffusion.timesteps import Density, size_shift
from model.packing.packs import Document, Pack, pack_documents, packing_order
from model.packing.patches import Patch, grid_shape, patchify
from schemas.identity import digest
from schemas.recipe.train import TaskMix

USUAL_TASKS = TaskMix()


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
    tasks: TaskMix = USUAL_TASKS,
) -> Example:
    """Noise a sample for one epoch."""
    generator = torch.Generator().manual_seed(int(digest(seed, sample.sample_id, epoch), 16) >> 1)
    data = statistics.whiten(sample.latent_CTHW)
    choice, drop = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    text = None if drop < text_drop else choose_text(sample, choice)
    clean_T = draw_clean_frames(data.shape[1], generator, tasks)
    timestep = density.draw(generator, latent_shift(data.shape, patch))
    return noised_example(objective, data, sample.latent_fps, text, clean_T, timestep, generator)


def noised_example(
    objective: Objective,
    data_CTHW: Tensor,
    latent_fps: float,
    text_LE: Tensor | None,
    clean_T: Tensor,
    timestep: float,
    generator: torch.Generator,
) -> Example:
    """Move the frames that are not clean along the path to `timestep`."""
    noise = torch.randn(data_CTHW.shape, generator=generator)
    level = torch.tensor(timestep, dtype=torch.float32)
    noisy = torch.where(clean_T.view(1, -1, 1, 1), data_CTHW, objective.path.interpolate(data_CTHW, noise, level))
    document = Document(noisy, clean_T, timestep, latent_fps, text_LE)
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
    answer_NP = torch.cat([patchify(e.target_CTHW, patch) for e in examples])
    targets = Targets(answer_NP, torch.tensor([e.weight for e in examples], dtype=torch.float32))
    return pack_documents([e.document for e in examples], patch, text_dim), targets


def document_losses(answer_NP: Tensor, targets: Targets, pack: Pack) -> Tensor:
    """Weighted mean squared error of each document over its noisy tokens, (B,) float32; clean tokens do not count."""
    error_N = (answer_NP.float() - targets.answer_NP.float()).square().mean(dim=1)
    weight_N = (~pack.clean_N).float()
    lengths = pack.geometry.lengths
    sums = torch.stack([part.sum() for part in (error_N * weight_N).split(lengths)])
    counts = torch.stack([part.sum() for part in weight_N.split(lengths)])
    return targets.weight_B * sums / counts
