"""From noise to data: samplers of any path, which ask what the network sees at a point and a timestep.

Each follows falling timesteps. `denoise` gives the data and the noise of a point; samplers keep what they need of
earlier points in local variables, so that they can be used for any number of clips at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from model.diffusion.paths import Path
from model.diffusion.variance import log_range, log_variance

Denoise = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""A point and its timestep to the data and the noise that it is made of."""
DenoiseWithVariance = Callable[[Tensor, float], tuple[Tensor, Tensor, Tensor]]
"""As `Denoise`, and v of the variance that the network has learned."""


@dataclass(frozen=True)
class Course:
    """What every sampler is given."""

    denoise: Denoise
    path: Path
    times: Sequence[float]
    """Falling timesteps, the first one that of the start."""
    generators: Sequence[torch.Generator] = ()
    """For samplers that add noise: one for each of equal parts of a point, which are of different clips."""
    denoise_with_variance: DenoiseWithVariance | None = None
    """For `ddpm`, where the network has learned the variance."""

    def at(self, timestep: float) -> tuple[float, float]:
        alpha, sigma = self.path.at(torch.tensor(timestep, dtype=torch.float64))
        return float(alpha), float(sigma)

    def noise(self, x: Tensor) -> Tensor:
        """New noise of the form of a point, drawn on the CPU."""
        parts = zip(x.chunk(len(self.generators)), self.generators, strict=True)
        return torch.cat([torch.randn(part.shape, generator=one, dtype=x.dtype) for part, one in parts]).to(x.device)

    def velocity(self, x: Tensor, timestep: float) -> Tensor:
        """dx/dt along the path."""
        data, noise = self.denoise(x, timestep)
        alpha, sigma = self.path.slopes_at(torch.tensor(timestep, dtype=torch.float64))
        return float(alpha) * data + float(sigma) * noise


def euler(x: Tensor, course: Course) -> Tensor:
    """dx/dt by Euler's method; exact where the path is straight."""
    for now, after in pairwise(course.times):
        x = x + (after - now) * course.velocity(x, now)
    return x


def heun(x: Tensor, course: Course) -> Tensor:
    """dx/dt by Heun's method, of second order: two answers a step, and one for the last (Karras et al. 2022)."""
    for now, after in pairwise(course.times):
        first = course.velocity(x, now)
        reached = x + (after - now) * first
        x = reached if after == 0 else x + (after - now) * (first + course.velocity(reached, after)) / 2
    return x


def ddim(x: Tensor, course: Course, eta: float = 0.0) -> Tensor:
    """Data and noise put together again at the next timestep (Song et al. 2021); with `eta` some of it is new noise."""
    for now, after in pairwise(course.times):
        data, noise = course.denoise(x, now)
        (alpha, sigma), (next_alpha, next_sigma) = course.at(now), course.at(after)
        kept = alpha * next_sigma / (next_alpha * sigma)
        fresh = eta * next_sigma * max(0.0, 1 - kept**2) ** 0.5
        x = next_alpha * data + max(0.0, next_sigma**2 - fresh**2) ** 0.5 * noise
        if fresh > 0:
            x = x + fresh * course.noise(x)
    return x


def ddpm(x: Tensor, course: Course) -> Tensor:
    """Ancestral sampling (Ho et al. 2020): every step forgets as much of the noise as it can, and adds as much again,
    or what the network has learned to add."""
    if course.denoise_with_variance is None:
        return ddim(x, course, eta=1.0)
    for now, after in pairwise(course.times):
        data, noise, v = course.denoise_with_variance(x, now)
        low, high = log_range(course.path, *torch.tensor([now, after], dtype=torch.float64))
        next_alpha, next_sigma = course.at(after)
        x = next_alpha * data + max(0.0, next_sigma**2 - math.exp(low)) ** 0.5 * noise
        if next_sigma > 0:
            x = x + (log_variance(v, low, high) / 2).exp() * course.noise(x)
    return x


def dpm_solver_2m(x: Tensor, course: Course) -> Tensor:
    """DPM-Solver++ of second order with one answer a step (Lu et al. 2022, algorithm 2); the last step is of first."""
    before: tuple[float, Tensor] | None = None
    for now, after in pairwise(course.times):
        data, _ = course.denoise(x, now)
        (alpha, sigma), (next_alpha, next_sigma) = course.at(now), course.at(after)
        if next_sigma == 0 or alpha == 0:
            x, before = (data, None) if next_sigma == 0 else (next_alpha * data + next_sigma / sigma * x, None)
            continue
        level, next_level = _log_ratio(alpha, sigma), _log_ratio(next_alpha, next_sigma)
        step = next_level - level
        estimate = data
        if before is not None:
            earlier_level, earlier = before
            ratio = (level - earlier_level) / step
            estimate = data + (data - earlier) / (2 * ratio)
        x = (
            next_sigma / sigma * x
            - next_alpha * float(torch.expm1(torch.tensor(-step, dtype=torch.float64))) * estimate
        )
        before = level, data
    return x


def unipc(x: Tensor, course: Course) -> Tensor:
    """UniPC-2 with B(h) = e^h - 1 and one answer a step (Zhao et al. 2023, algorithms 5 to 8).

    The answer at the point that a step has predicted also corrects that point. The first and the last step are of
    first order; what the last one predicts stays, as nothing is asked there.
    """
    steps = list(pairwise(course.times))
    taken: _UniStep | None = None
    for i, (now, after) in enumerate(steps):
        data, _ = course.denoise(x, now)
        if taken is not None:
            x = taken.corrected(data)
        earlier = None if taken is None or i + 1 == len(steps) else (taken.level, taken.data)
        taken = _UniStep.of(course, now, after, x, data, earlier)
        x = taken.predicted()
    return x


@dataclass(frozen=True)
class _UniStep:
    """A step of UniPC, with the data seen where it starts."""

    level: float
    """log alpha / sigma where it starts."""
    data: Tensor
    first_order: Tensor
    """Where it leads if the data stay as they are."""
    lead: float
    """h: by how much log alpha / sigma rises, which is infinite from pure noise and to pure data."""
    gain: float
    """alpha (1 - e^-h): what a change of the data counts for where the step ends."""
    ratio: float | None
    """Place of the step before, in units of h and so below 0; None if this step is of first order."""
    slope: Tensor | None
    """Change of the data by that unit, as the step before saw it."""

    @classmethod
    def of(
        cls, course: Course, now: float, after: float, x: Tensor, data: Tensor, earlier: tuple[float, Tensor] | None
    ) -> _UniStep:
        (alpha, sigma), (next_alpha, next_sigma) = course.at(now), course.at(after)
        level = _log_ratio(alpha, sigma)
        lead = _log_ratio(next_alpha, next_sigma) - level
        gain = -next_alpha * math.expm1(-lead)
        first_order = next_sigma / sigma * x + gain * data
        if earlier is None:
            return cls(level, data, first_order, lead, gain, None, None)
        ratio = (earlier[0] - level) / lead
        return cls(level, data, first_order, lead, gain, ratio, (earlier[1] - data) / ratio)

    def predicted(self) -> Tensor:
        return self.first_order if self.slope is None else self.first_order + self.gain / 2 * self.slope

    def corrected(self, data: Tensor) -> Tensor:
        """Where the step leads, now that the data are known that are seen there."""
        change = data - self.data
        if self.slope is None or self.ratio is None:
            return self.first_order + self.gain / 2 * change
        mean = -1 / self.lead - 1 / math.expm1(-self.lead)
        moment = -2 / self.lead * mean - 1 / math.expm1(-self.lead)
        of_slope = (mean - moment) / (1 - self.ratio)
        return self.first_order + self.gain * (of_slope * self.slope + (mean - of_slope) * change)


def _log_ratio(alpha: float, sigma: float) -> float:
    """log alpha / sigma, infinite at the ends of a path."""
    if alpha == 0 or sigma == 0:
        return math.inf if sigma == 0 else -math.inf
    return math.log(alpha / sigma)


Sampler = Callable[[Tensor, Course], Tensor]
SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "heun": heun,
    "ddim": ddim,
    "ddpm": ddpm,
    "dpm_solver_2m": dpm_solver_2m,
    "unipc": unipc,
}
