"""Validation loss at fixed noise levels: the same latents, texts and noise at the midpoints of eight equal ranges.

The training loss is noisy because each step draws other timesteps; this one moves only if the model does. Samples are
seen with nothing given at all levels, and with what each other task gives at one level each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.tasks import draw_task
from model.packing.packs import Pack
from model.packing.patches import Patch, num_tokens
from model.training.examples import (
    Example,
    LatentStatistics,
    Sample,
    Targets,
    choose_text,
    document_losses,
    last_frame,
    noised_example,
    pack_examples,
    told_of,
)
from schemas.identity import digest
from schemas.recipe.train import TaskMix

NUM_LEVELS = 8
TEXT = "text"
NO_TASK = TaskMix(**dict.fromkeys(asdict(TaskMix()), 0.0) | {TEXT: 1.0})


class FixedPack(NamedTuple):
    """A pack, what should be answered to it, and the task of its documents."""

    pack: Pack
    targets: Targets
    task: str


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
        tasks: TaskMix = NO_TASK,
        lone_frames: bool = False,
    ) -> None:
        """Fix the examples of samples.

        Args:
            tasks: those with a share are seen.
            lone_frames: whether last frames may be given.
        """
        self.statistics, self.objective, self.lone_frames = statistics, objective, lone_frames
        levels = range(NUM_LEVELS)
        of_tasks = {TEXT: [self._example(sample, TEXT, level) for sample in samples for level in levels]}
        for task in (name for name, share in asdict(tasks).items() if share and name != TEXT):
            of_tasks[task] = [self._example(sample, task, i % NUM_LEVELS) for i, sample in enumerate(samples)]
        self.packs = [
            FixedPack(pack.to(device), targets.to(device), task)
            for task, examples in of_tasks.items()
            for pack, targets in _packed(examples, patch, text_dim, capacity)
        ]

    def _example(self, sample: Sample, task: str, level: int) -> Example:
        data = self.statistics.whiten(sample.latent_CTHW)
        generator = torch.Generator().manual_seed(int(digest("validation", sample.sample_id), 16) >> 1)
        last = last_frame(sample, self.statistics) if self.lone_frames else None
        only = replace(NO_TASK, **{TEXT: 0.0} | {task: 1.0})
        drawn = draw_task(tuple(data.shape), generator, only, has_last=last is not None)
        text, timestep = choose_text(sample, 0.0), (level + 0.5) / NUM_LEVELS
        generator.manual_seed(generator.initial_seed())  # so that a sample's noise is the same in all tasks
        example = noised_example(self.objective, data, sample.latent_fps, text, drawn.given_THW, timestep, generator)
        frames = (last,) if last is not None and drawn.last_frame else ()
        return replace(example, document=replace(example.document, frames=frames, told=told_of(sample)))

    @torch.no_grad()
    def losses(self, answer_of: Callable[[Pack], Tensor]) -> dict[str, object]:
        """`val_loss`, the mean of all with nothing given; of these `val_loss_by_timestep` and `val_loss_by_shape`, by
        frames x width x height; and `val_loss_by_task`."""
        by_timestep: dict[str, list[float]] = defaultdict(list)
        by_shape: dict[str, list[float]] = defaultdict(list)
        by_task: dict[str, list[float]] = defaultdict(list)
        for pack, targets, task in self.packs:
            losses = document_losses(answer_of(pack), targets, pack, self.objective).tolist()
            by_task[task] += losses
            if task != TEXT:
                continue
            for loss, timestep, (T, H, W) in zip(losses, pack.timestep_B.tolist(), pack.table.extents, strict=True):
                by_timestep[f"{timestep:.4f}"].append(loss)
                by_shape[f"{T}x{W}x{H}"].append(loss)
        return {
            "val_loss": _mean(by_task[TEXT]),
            "val_loss_by_timestep": {k: _mean(v) for k, v in sorted(by_timestep.items())},
            "val_loss_by_shape": {k: _mean(v) for k, v in sorted(by_shape.items())},
            "val_loss_by_task": {k: _mean(v) for k, v in by_task.items()},
        }


def _packed(examples: Sequence[Example], patch: Patch, text_dim: int, capacity: int) -> Iterator[tuple[Pack, Targets]]:
    return (pack_examples(group, patch, text_dim) for group in _in_packs(examples, patch, capacity))


def _in_packs(examples: Sequence[Example], patch: Patch, capacity: int) -> list[list[Example]]:
    """Consecutive examples in groups of at most `capacity` tokens."""
    groups: list[list[Example]] = []
    room = 0
    for example in examples:
        C, T, H, W = example.target_CTHW.shape
        frames = [(C, patch[0], H, W)] * len(example.document.frames)
        count = sum(num_tokens(shape, patch) for shape in ((C, T, H, W), *frames))
        if count > room:
            groups.append([])
            room = capacity
        groups[-1].append(example)
        room -= count
    return groups


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
