"""Exponential moving average of a model's weights, in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of the weights that are trained, over the steps so far.

    The decay grows as (1 + n) / (10 + n) until it reaches its limit, so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().float().clone() for name, p in trained.items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step` (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.weights.items():
            average.lerp_(model.get_parameter(name).detach().float(), 1 - decay)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Continue from saved weights."""
        for name, average in self.weights.items():
            average.copy_(weights[name])
