"""Training tasks: which latent frames of a sample are given clean, as a condition, and which are to be denoised.

Since the autoencoder is causal, the clean first frames of a cached latent are exactly the latents of that prefix, so
image-to-video and extension need no other data than text-to-video.
"""

from __future__ import annotations

import torch
from torch import Tensor

TASK_SHARES = {"text": 0.50, "first_frame": 0.25, "prefix": 0.15, "scattered": 0.10}
"""Nothing given; the first latent frame; the first few; any few (first and last among them)."""


def draw_clean_frames(num_frames: int, generator: torch.Generator) -> Tensor:
    """Choose a task and its clean frames; at least one frame is left to denoise.

    Returns:
        (num_frames,) bool, True where the frame is given.
    """
    clean = torch.zeros(num_frames, dtype=torch.bool)
    choice = torch.rand((), generator=generator, dtype=torch.float64).item()
    task = _pick(choice)
    if num_frames == 1 or task == "text":
        return clean
    count = 1 if task == "first_frame" else int(torch.randint(1, num_frames, (), generator=generator))
    frames = torch.randperm(num_frames, generator=generator)[:count] if task == "scattered" else torch.arange(count)
    clean[frames] = True
    return clean


def _pick(choice: float) -> str:
    for task, share in TASK_SHARES.items():
        if choice < share:
            return task
        choice -= share
    return "text"
