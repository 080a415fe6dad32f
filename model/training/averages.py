"""Averages of a model's weights over the steps so far, in float32; where workers share the weights, they share it
alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from model.training.parallel import local
from model.training.post_hoc import decay_of, exponent_of

AVERAGE, LONGER = "average", "longer_average"
"""The two averages of a run, as checkpoints and snapshots name them. The first is the one that samples."""


class WeightAverage:
    """The average of the weights that are trained, of a relative length: see `post_hoc.py`.

    The weights of the first step replace what it starts as.
    """

    def __init__(self, model: nn.Module, length: float) -> None:
        self._exponent = exponent_of(length)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().float().clone() for name, p in trained.items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step` (the first is 1)."""
        decay = decay_of(self._exponent, step)
        for name, average in self.weights.items():
            local(average).lerp_(local(model.get_parameter(name).detach()).float(), 1 - decay)

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


def averages_of(model: nn.Module, lengths: tuple[float, float]) -> dict[str, WeightAverage]:
    """The two averages that a run keeps, by name."""
    return {name: WeightAverage(model, length) for name, length in zip((AVERAGE, LONGER), lengths, strict=True)}
