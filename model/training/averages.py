"""Exponential moving average of a model's weights, in float32; where workers share the weights, they share it alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from model.training.parallel import held_like, local


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
            local(average).lerp_(local(model.get_parameter(name).detach()).float(), 1 - decay)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Continue from whole weights."""
        for name, average in self.weights.items():
            average.copy_(held_like(weights[name].to(average.device, average.dtype), average))

    @contextmanager
    @torch.no_grad()
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Let the model, of float32 weights, compute with the average; afterwards both are as they were, to the bit."""
        pairs = [(local(model.get_parameter(name).detach()), local(own)) for name, own in self.weights.items()]
        _swap(pairs)
        try:
            yield
        finally:
            _swap(pairs)


def _swap(pairs: list[tuple[Tensor, Tensor]]) -> None:
    for one, other in pairs:
        kept = one.clone()
        one.copy_(other)
        other.copy_(kept)
