"""Training tasks: which latent frames of a sample are given clean, as a condition, and which are to be denoised.

Since the autoencoder is causal, the clean first frames of a cached latent are exactly the latents of that prefix, so
image-to-video and extension need no other data than text-to-video.
"""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor

from schemas.recipe.train import TaskMix


def draw_clean_frames(num_frames: int, generator: torch.Generator, tasks: TaskMix) -> Tensor:
    """Choose a task and its clean frames; at least one frame is left to denoise.

    Returns:
        (num_frames,) bool, True where the frame is given.
    """
    clean = torch.zeros(num_frames, dtype=torch.bool)
    choice = torch.rand((), generator=generator, dtype=torch.float64).item()
    task = _pick(choice, tasks)
    if num_frames == 1 or task == "text":
        return clean
    count = 1 if task == "first_frame" else int(torch.randint(1, num_frames, (), generator=generator))
    frames = torch.randperm(num_frames, generator=generator)[:count] if task == "scattered" else torch.arange(count)
    clean[frames] = True
    return clean


def _pick(choice: float, tasks: TaskMix) -> str:
    """A task by a number in [0, 1)."""
    shares = asdict(tasks)
    left = choice * sum(shares.values())
    for task, share in shares.items():
        if left < share:
            return task
        left -= share
    return "text"
