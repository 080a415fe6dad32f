"""Paths from data to noise: x_t = alpha(t) x_0 + sigma(t) noise, with timestep 0 for data and 1 for noise.

Coefficients are computed in float64 and given in the precision of the timestep; a timestep may have any shape.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

LEAST = 1e-12
"""Below this, squares are taken as zero would be: a root of it is never divided by zero."""


class Path(ABC):
    """One path."""

    @abstractmethod
    def alpha(self, timestep: Tensor) -> Tensor:
        """Share of the data, falling from 1; float64 in, float64 out."""

    @abstractmethod
    def sigma(self, timestep: Tensor) -> Tensor:
        """Standard deviation of the noise, rising from 0; float64 in, float64 out."""

    @abstractmethod
    def slopes(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of alpha and sigma by the timestep; float64 in, float64 out."""

    def at(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma in the precision of the timestep."""
        exact = timestep.double()
        return self.alpha(exact).to(timestep.dtype), self.sigma(exact).to(timestep.dtype)

    def slopes_at(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Their derivatives in the precision of the timestep."""
        alpha, sigma = self.slopes(timestep.double())
        return alpha.to(timestep.dtype), sigma.to(timestep.dtype)

    def interpolate(self, data: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """The point of the path between data and noise."""
        alpha, sigma = self.at(timestep)
        return alpha * data + sigma * noise


class RectifiedFlow(Path):
    """The straight path, alpha = 1 - t and sigma = t (Liu et al. 2023)."""

    def alpha(self, timestep: Tensor) -> Tensor:
        return 1 - timestep

    def sigma(self, timestep: Tensor) -> Tensor:
        return timestep

    def slopes(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(timestep), torch.ones_like(timestep)


class VariancePreserving(Path):
    """Paths on which alpha^2 + sigma^2 = 1."""

    def sigma(self, timestep: Tensor) -> Tensor:
        return (1 - self.alpha(timestep).square()).clamp(min=0).sqrt()

    def slopes(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        slope = self.alpha_slope(timestep)
        sigma = (1 - self.alpha(timestep).square()).clamp(min=LEAST).sqrt()
        return slope, -self.alpha(timestep) * slope / sigma

    @abstractmethod
    def alpha_slope(self, timestep: Tensor) -> Tensor:
        """Derivative of alpha."""


class Trigonometric(VariancePreserving):
    """A quarter of a circle: alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Albergo & Vanden-Eijnden 2023)."""

    def alpha(self, timestep: Tensor) -> Tensor:
        return torch.cos(timestep * (math.pi / 2))

    def sigma(self, timestep: Tensor) -> Tensor:
        return torch.sin(timestep * (math.pi / 2))

    def slopes(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        return -self.sigma(timestep) * (math.pi / 2), self.alpha(timestep) * (math.pi / 2)

    def alpha_slope(self, timestep: Tensor) -> Tensor:
        return -self.sigma(timestep) * (math.pi / 2)


class Discrete(VariancePreserving):
    """The path of a diffusion of many small steps, with log alpha^2 straight between two of them.

    Step i of N, counted from 1, is timestep i / N, so that trained steps are met exactly; timestep 0 is data.
    """

    @abstractmethod
    def betas(self) -> Tensor:
        """(N,) float64, variance of the noise that each step adds."""

    @property
    def num_steps(self) -> int:
        return len(self._log_alpha) - 1

    @cached_property
    def _log_alpha(self) -> Tensor:
        """(N + 1,) float64, of timesteps 0 to 1."""
        logs = torch.log1p(-self.betas()).cumsum(0) / 2
        return torch.cat([logs.new_zeros(1), logs])

    def _between(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """log alpha and its derivative."""
        table = self._log_alpha.to(timestep.device)
        steps = len(table) - 1
        place = (timestep * steps).clamp(0, steps)
        below = place.floor().clamp(max=steps - 1).long()
        rise = table[below + 1] - table[below]
        return table[below] + (place - below) * rise, rise * steps

    def alpha(self, timestep: Tensor) -> Tensor:
        return self._between(timestep)[0].exp()

    def alpha_slope(self, timestep: Tensor) -> Tensor:
        log, slope = self._between(timestep)
        return log.exp() * slope


class DDPMLinear(Discrete):
    """A thousand steps whose variance rises linearly from 1e-4 to .02 (Ho et al. 2020, section 4)."""

    def betas(self) -> Tensor:
        return torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)


class DDPMCosine(Discrete):
    """A thousand steps along a squared cosine, none of which adds more than .999 (Nichol & Dhariwal 2021, eq. 17)."""

    def betas(self) -> Tensor:
        steps = torch.arange(1001, dtype=torch.float64) / 1000
        alphas = torch.cos((steps + 0.008) / 1.008 * (math.pi / 2)).square()
        return (1 - alphas[1:] / alphas[:-1]).clamp(max=0.999)


PATHS: dict[str, Path] = {
    "rectified_flow": RectifiedFlow(),
    "trigonometric": Trigonometric(),
    "ddpm_linear": DDPMLinear(),
    "ddpm_cosine": DDPMCosine(),
}
