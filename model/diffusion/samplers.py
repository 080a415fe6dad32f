"""Integration of the flow from noise (t = 1) to data (t = 0)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

from model.diffusion.paths import shift_timestep


def timesteps(num_steps: int, shift: float) -> list[float]:
    """num_steps + 1 falling timesteps from 1 to 0, evenly spaced before the shift.

    Raises:
        ValueError: fewer than one step.
    """
    if num_steps < 1:
        raise ValueError(f"sampling needs at least one step, got {num_steps}")
    return [shift_timestep(1.0 - i / num_steps, shift) for i in range(num_steps + 1)]


def euler(velocity_at: Callable[[Tensor, float], Tensor], x: Tensor, times: Sequence[float]) -> Tensor:
    """Follow dx/dt = velocity_at(x, t) along `times` by Euler's method; exact where the path is straight."""
    for now, after in pairwise(times):
        x = x + (after - now) * velocity_at(x, now)
    return x
