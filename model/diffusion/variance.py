"""Variances that the network learns (improved DDPM, Nichol & Dhariwal 2021).

A step of a discrete path back towards data is normal. Its variance is at least that of the step where the data are
known, and at most that of the noise which the step takes away; v, one for each value, says where between their
logarithms it lies: -1 is the least and 1 the most. The variational bound fits v, and nothing else: what it says of the
mean is left to the error of the prediction.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.paths import Discrete, Path

LEAST_VARIANCE = 1e-20
"""Of a step that ends at the data, whose logarithm is taken all the same."""
BOUND_WEIGHT = 0.001
"""Of the whole bound beside the error of the prediction (lambda in section 3.1)."""


def log_range(path: Path, timestep: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the least and the greatest variance of the step from `timestep` back to `before`, float64.

    Args:
        path: on which alpha^2 + sigma^2 = 1.
        timestep: above `before`, of any shape.
    """
    (alpha, sigma), (alpha_before, sigma_before) = path.at(timestep.double()), path.at(before.double())
    most = 1 - (alpha / alpha_before).square()
    least = most * (sigma_before / sigma).square()
    return least.clamp(min=LEAST_VARIANCE).log(), most.log()


def log_variance(v: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The logarithm between `low` and `high` that v says (equation 15)."""
    share = (v + 1) / 2
    return share * high + (1 - share) * low


def bound_loss(objective: Objective, squared_error: Tensor, v: Tensor, timestep: Tensor) -> Tensor:
    """The variational bound, in bits a value, as the step that ends at `timestep` estimates it; weighted for the loss.

    The bound is a sum over all steps, and so all of them times the one that was drawn. That is right on average if
    timesteps are drawn uniformly; under other densities steps count as often as they are drawn.

    Args:
        objective: of a discrete path.
        squared_error: of the prediction; no gradient goes through it.
        v: of the form of `squared_error`.
        timestep: that broadcasts with them, in (0, 1]. The step is one of training, back from there.
    """
    path = objective.path
    assert isinstance(path, Discrete)
    level, step = timestep.double(), 1 / path.num_steps
    before = (level - step).clamp(min=0)
    # The least variance of the first step is 0, and that of the second stands in for it, as in their program.
    low, high = (value.to(v.dtype) for value in log_range(path, level.clamp(min=2 * step), before.clamp(min=step)))
    distance = (_of_means(objective, level, before)).to(v.dtype) * squared_error.detach()
    log = log_variance(v, low, high)
    misfit = distance * (-log).exp()
    divergence = (log - low + (low - log).exp() - 1 + misfit) / 2
    surprise = (log + math.log(2 * math.pi) + misfit) / 2
    nats = torch.where(before == 0, surprise, divergence)
    return BOUND_WEIGHT * path.num_steps * nats / math.log(2)


def _of_means(objective: Objective, timestep: Tensor, before: Tensor) -> Tensor:
    """What the squared error of a prediction makes of the squared distance between the means of the step (DDPM,
    equation 7)."""
    (alpha, sigma), (alpha_before, _) = objective.path.at(timestep), objective.path.at(before)
    of_data = alpha_before * (1 - (alpha / alpha_before).square()) / sigma.square()
    return of_data.square() * objective.of_data_error(timestep)
