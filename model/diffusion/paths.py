"""Rectified flow: the straight path from data to noise, and how noise levels are drawn in training.

Timestep 0 is data and 1 is noise. The path and its velocity are those of Liu et al. 2023; logit-normal timesteps and
their shift with size follow Esser et al. 2024 (SD3), with a uniform share so that no level is ever left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

UNIFORM_SHARE = 0.1
"""Share of timesteps drawn uniformly (Open-Sora 2.0 and others mix in a tenth)."""


def interpolate(data: Tensor, noise: Tensor, timestep: float | Tensor) -> Tensor:
    """The point x_t = (1 - t) x_0 + t noise of the path."""
    return (1 - timestep) * data + timestep * noise


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """dx/dt along the path, which the model predicts: noise - x_0."""
    return noise - data


def size_shift(spatial_tokens: int, latent_frames: int) -> float:
    """How strongly timesteps lean towards noise for a sample of this size.

    Larger samples repeat what they show and stay readable under more noise. Linear in the tokens of a frame (1 at 256,
    3 at 4096), times the square root of the latent frames.
    """
    return (1.0 + 2.0 * (spatial_tokens - 256) / (4096 - 256)) * math.sqrt(latent_frames)


def shift_timestep(timestep: float, shift: float) -> float:
    """t -> s t / (1 + (s - 1) t), equation 23 of SD3; keeps 0 and 1."""
    return shift * timestep / (1.0 + (shift - 1.0) * timestep)


def draw_timestep(generator: torch.Generator, shift: float) -> float:
    """A training timestep in (0, 1): logit-normal(0, 1), or uniform for a tenth of them, then shifted."""
    choice, uniform = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    normal = torch.randn((), generator=generator, dtype=torch.float64).item()
    timestep = uniform if choice < UNIFORM_SHARE else 1.0 / (1.0 + math.exp(-normal))
    return shift_timestep(timestep, shift)
