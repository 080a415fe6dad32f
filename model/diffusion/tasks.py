"""Training tasks: what of a sample is given, as a condition, and what is to be denoised.

Only what a sampler can give is given. Since the autoencoder is causal, the clean first frames of a cached latent are
exactly the latents of that prefix, so image-to-video and extension need no other data than text-to-video. A last frame
is a latent of its own, and stands beside the tokens of the clip. A long video is continued from some of its past,
recent and far; so is a clip of training, of which the frames that are neither given nor wanted are left out (Flexible
Diffusion Modeling, Harvey et al. 2022).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from schemas.recipe.train import TaskMix

LEAST_REGION = 0.25
"""Side of a region that is to be filled, in shares of the frame's, at least."""


@dataclass(frozen=True)
class Drawn:
    """What is given of a sample."""

    given_THW: Tensor
    """Bool, (T, 1, 1) or (T, H, W)."""
    last_frame: bool = False
    """Whether the last frame is given too, encoded on its own."""
    kept_T: Tensor | None = None
    """Bool, (T,): frames that are there; all, without one."""


def draw_task(latent_shape: tuple[int, ...], generator: torch.Generator, tasks: TaskMix, *, has_last: bool) -> Drawn:
    """Choose a task and what it gives; something is left to denoise.

    Args:
        latent_shape: (C, T, H, W).
        has_last: whether the sample has a latent of its last frame; without one it is given the text, or the first
            frame, alone.
    """
    _, T, H, W = latent_shape
    choice = torch.rand((), generator=generator, dtype=torch.float64).item()
    task = _pick(choice, tasks)
    if task == "region":
        return Drawn(_around_region(T, H, W, generator))
    if task == "past" and T > 1:
        return _past(T, generator)
    given_T = torch.zeros(T, dtype=torch.bool)
    if T > 1 and task in ("first_frame", "first_last"):
        given_T[0] = True
    elif T > 1 and task == "prefix":
        given_T[: int(torch.randint(1, T, (), generator=generator))] = True
    return Drawn(given_T.view(T, 1, 1), last_frame=has_last and T > 1 and task in ("last_frame", "first_last"))


def _around_region(T: int, H: int, W: int, generator: torch.Generator) -> Tensor:
    """All but a box that stays in place, (T, H, W)."""
    given = torch.ones(T, H, W, dtype=torch.bool)
    rows, columns = (_span(side, generator) for side in (H, W))
    given[:, rows, columns] = False
    return given


def _past(T: int, generator: torch.Generator) -> Drawn:
    """Frames that follow one another are wanted; those just before them are given, and any of the further past."""

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    start = whole(1, T)
    end, recent = whole(start + 1, T + 1), whole(1, start + 1)
    share = torch.rand((), generator=generator)
    given_T = torch.rand(T, generator=generator) < share
    given_T[start - recent : start] = True
    given_T[start:] = False
    kept_T = given_T.clone()
    kept_T[start:end] = True
    return Drawn(given_T.view(T, 1, 1), kept_T=kept_T)


def _span(side: int, generator: torch.Generator) -> slice:
    share, place = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    length = max(round(side * (LEAST_REGION + (1 - LEAST_REGION) * share)), 1)
    start = round(place * (side - length))
    return slice(start, start + length)


def _pick(choice: float, tasks: TaskMix) -> str:
    """A task by a number in [0, 1)."""
    shares = asdict(tasks)
    left = choice * sum(shares.values())
    for task, share in shares.items():
        if left < share:
            return task
        left -= share
    return "text"
