"""Which noise levels training and sampling visit: densities of timesteps, and their shift with size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from schemas.recipe.train import ObjectiveConfig


def size_shift(spatial_tokens: int, latent_frames: int) -> float:
    """How strongly timesteps lean towards noise for a sample of this size.

    Larger samples repeat what they show and stay readable under more noise. Linear in the tokens of a frame (1 at 256,
    3 at 4096), times the square root of the latent frames.
    """
    return (1.0 + 2.0 * (spatial_tokens - 256) / (4096 - 256)) * math.sqrt(latent_frames)


def shift_timestep(timestep: float, shift: float) -> float:
    """t -> s t / (1 + (s - 1) t), equation 23 of SD3 (Esser et al. 2024); keeps 0 and 1."""
    return shift * timestep / (1.0 + (shift - 1.0) * timestep)


def _uniform(uniform: float, normal: float, density: Density) -> float:
    return uniform


def _logit_normal(uniform: float, normal: float, density: Density) -> float:
    return 1.0 / (1.0 + math.exp(-(density.mean + density.std * normal)))


def _mode(uniform: float, normal: float, density: Density) -> float:
    return 1.0 - uniform - density.mode_scale * (math.cos(math.pi / 2 * uniform) ** 2 - 1.0 + uniform)


DENSITIES: dict[str, Callable[[float, float, Density], float]] = {
    "uniform": _uniform,
    "logit_normal": _logit_normal,
    "mode": _mode,
}
"""Uniform; logit-normal (SD3, equation 19); with heavy tails (SD3, equation 20)."""


@dataclass(frozen=True)
class Density:
    """How training timesteps are drawn.

    Raises:
        ValueError: a density that is not known.
    """

    name: str = "logit_normal"
    mean: float = 0.0
    """Of the logit."""
    std: float = 1.0
    """Of the logit."""
    mode_scale: float = 1.29
    """As in SD3."""
    uniform_share: float = 0.1
    """Share that is drawn uniformly, so that no level is left out (Open-Sora 2.0 and others mix in a tenth)."""

    def __post_init__(self) -> None:
        if self.name not in DENSITIES:
            raise ValueError(f"timesteps = {self.name!r}: none of {', '.join(DENSITIES)}")

    @classmethod
    def of(cls, config: ObjectiveConfig) -> Density:
        """That of a recipe."""
        return cls(config.timesteps, config.logit_mean, config.logit_std, config.mode_scale, config.uniform_share)

    def draw(self, generator: torch.Generator, shift: float) -> float:
        """A timestep in (0, 1), shifted after it is drawn."""
        choice, uniform = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        normal = torch.randn((), generator=generator, dtype=torch.float64).item()
        draw = _uniform if choice < self.uniform_share else DENSITIES[self.name]
        return shift_timestep(draw(uniform, normal, self), shift)


def timesteps(num_steps: int, shift: float) -> list[float]:
    """num_steps + 1 falling timesteps from 1 to 0, evenly spaced before the shift.

    Raises:
        ValueError: fewer than one step.
    """
    if num_steps < 1:
        raise ValueError(f"sampling needs at least one step, got {num_steps}")
    return [shift_timestep(1.0 - i / num_steps, shift) for i in range(num_steps + 1)]
