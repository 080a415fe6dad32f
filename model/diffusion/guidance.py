"""Guidance: towards what the text, or a classifier, asks for.

Classifier-free guidance (Ho & Salimans 2022) leads away from what would be predicted without the text. It can be kept
to an interval of noise levels (Kynkaanniemi et al. 2024), outside which it costs time and variety and helps little, and
its result can be brought back to the deviation of the answer with the text (Lin et al. 2023), as it overexposes
otherwise.

Shapes: M values of some documents one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_STD = 1e-6
"""Deviations below this are of answers that are constant, which nothing is to be divided by."""


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance.

    Raises:
        ValueError: an interval or a rescale that is not within 0 and 1.
    """

    scale: float = 4.0
    """How far to go from the answer without text through the one with it; 1 is the latter and turns guidance off."""
    interval: tuple[float, float] = (0.0, 1.0)
    """Timesteps, both ends among them, at which it is used; at others the answer is the one with the text."""
    rescale: float = 0.0
    """phi: share of the way back to the deviation of the answer with the text; .7 in Lin et al."""

    def __post_init__(self) -> None:
        low, high = self.interval
        if not 0 <= low <= high <= 1:
            raise ValueError(f"from {low:g} to {high:g}: not two timesteps from 0 (data) to 1 (noise), the lower first")
        if not 0 <= self.rescale <= 1:
            raise ValueError(f"rescale = {self.rescale:g}: not from 0 to 1")

    def is_used_at(self, timestep: float) -> bool:
        """Whether the answer without text is needed."""
        low, high = self.interval
        return self.scale != 1.0 and low <= timestep <= high

    def guide(self, conditional_M: Tensor, unconditional_M: Tensor, lengths: Sequence[int]) -> Tensor:
        """The guided answer, of the form of both; they may have further dimensions.

        Args:
            lengths: rows of each document; each is rescaled by deviations over its own.
        """
        guided_M = unconditional_M + self.scale * (conditional_M - unconditional_M)
        if self.rescale == 0:
            return guided_M
        parts = zip(guided_M.split(list(lengths)), conditional_M.split(list(lengths)), strict=True)
        return torch.cat([self._rescaled(guided, conditional) for guided, conditional in parts])

    def _rescaled(self, guided: Tensor, conditional: Tensor) -> Tensor:
        """Equations 15 and 16 of Lin et al."""
        ratio = conditional.std().clamp(min=LEAST_STD) / guided.std().clamp(min=LEAST_STD)
        return guided * (self.rescale * ratio + 1 - self.rescale)


def classifier_guided(
    noise: Tensor, point: Tensor, sigma: float, log_probability: Callable[[Tensor], Tensor], scale: float = 1.0
) -> Tensor:
    """The noise of a point as seen by one who knows its class (Dhariwal & Nichol 2021, algorithm 2).

    The score of the points at a noise level is minus their noise over sigma, on any path; that of a class adds the
    gradient of its log-probability.

    Args:
        noise: as the network sees it, of the form of `point`.
        sigma: deviation of the noise in the point.
        log_probability: log p(class | point) at this noise level, one for each point or their sum; differentiable.
        scale: above 1 for points that are more typical of the class than those of the data.
    """
    with torch.enable_grad():
        leaf = point.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(log_probability(leaf).sum(), leaf)
    return noise - scale * sigma * gradient
