"""Validation loss at fixed noise levels: the same latents, texts and noise at the midpoints of eight equal ranges.

The training loss is noisy because each step draws other timesteps; this one moves only if the model does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.packing.packs import Pack
from model.packing.patches import Patch, num_tokens
from model.training.examples import (
    Example,
    LatentStatistics,
    Sample,
    choose_text,
    document_losses,
    noised_example,
    pack_examples,
)
from schemas.identity import digest

NUM_LEVELS = 8


class Validation:
    """Fixed examples, and their loss under a model."""

    def __init__(
        self,
        samples: Sequence[Sample],
        statistics: LatentStatistics,
        objective: Objective,
        *,
        patch: Patch,
        text_dim: int,
        capacity: int,
        device: torch.device,
    ) -> None:
        self.objective = objective
        examples = [self._example(s, statistics, objective, level) for s in samples for level in range(NUM_LEVELS)]
        packs = [pack_examples(group, patch, text_dim) for group in _in_packs(examples, patch, capacity)]
        self.packs = [(pack.to(device), targets.to(device)) for pack, targets in packs]

    @staticmethod
    def _example(sample: Sample, statistics: LatentStatistics, objective: Objective, level: int) -> Example:
        data = statistics.whiten(sample.latent_CTHW)
        generator = torch.Generator().manual_seed(int(digest("validation", sample.sample_id), 16) >> 1)
        nothing_given = torch.zeros(1, 1, 1, dtype=torch.bool)
        timestep = (level + 0.5) / NUM_LEVELS
        return noised_example(
            objective, data, sample.latent_fps, choose_text(sample, 0.0), nothing_given, timestep, generator
        )

    @torch.no_grad()
    def losses(self, answer_of: Callable[[Pack], Tensor]) -> dict[str, object]:
        """`val_loss`, the mean of all; `val_loss_by_timestep`; and `val_loss_by_shape` (frames x width x height)."""
        by_timestep: dict[str, list[float]] = defaultdict(list)
        by_shape: dict[str, list[float]] = defaultdict(list)
        for pack, targets in self.packs:
            losses = document_losses(answer_of(pack), targets, pack, self.objective).tolist()
            for loss, timestep, (T, H, W) in zip(losses, pack.timestep_B.tolist(), pack.table.extents, strict=True):
                by_timestep[f"{timestep:.4f}"].append(loss)
                by_shape[f"{T}x{W}x{H}"].append(loss)
        every = [loss for losses in by_timestep.values() for loss in losses]
        return {
            "val_loss": _mean(every),
            "val_loss_by_timestep": {k: _mean(v) for k, v in sorted(by_timestep.items())},
            "val_loss_by_shape": {k: _mean(v) for k, v in sorted(by_shape.items())},
        }


def _in_packs(examples: Sequence[Example], patch: Patch, capacity: int) -> list[list[Example]]:
    """Consecutive examples in groups of at most `capacity` tokens."""
    groups: list[list[Example]] = []
    room = 0
    for example in examples:
        count = num_tokens(example.target_CTHW.shape, patch)
        if count > room:
            groups.append([])
            room = capacity
        groups[-1].append(example)
        room -= count
    return groups


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
