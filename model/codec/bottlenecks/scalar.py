"""Finite scalar quantisation (Mentzer et al. 2023): each channel is bounded and rounded to one of a few levels.

No codebook, no losses: all codes lie in a grid that the encoder's output fills by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.codec.bottlenecks.bottleneck import DiscreteBottleneck, Passed, straight_through
from model.codec.bottlenecks.config import ScalarConfig

EPSILON = 1e-3
"""By which the outermost levels are kept from the bounds, which no finite output reaches (appendix A.1 there)."""


class FiniteScalar(DiscreteBottleneck):
    """The latent is the nearest point of a grid in [-1, 1]; a code numbers it, the first channel running fastest."""

    levels: Tensor
    steps: Tensor

    def __init__(self, config: ScalarConfig, channels: int) -> None:
        if len(config.levels) != channels:
            raise ValueError(f"bottleneck 'fsq' has levels for {len(config.levels)} channels; a latent has {channels}")
        super().__init__(channels)
        levels = torch.tensor(config.levels)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("steps", levels.cumprod(0) // levels, persistent=False)
        self.num_codes = int(levels.prod())

    def forward(self, encoded_BCTHW: Tensor) -> Passed:
        bounded = self._bounded(encoded_BCTHW.float())
        latent = straight_through(bounded, bounded.round()) / self._of_channel(self.levels // 2)
        self.observe(latent)
        return Passed(latent)

    def latent(self, encoded_BCTHW: Tensor) -> Tensor:
        points = self._bounded(encoded_BCTHW.float()).round() / self._of_channel(self.levels // 2)
        return points.to(encoded_BCTHW.dtype)

    def codes(self, latent_BCTHW: Tensor) -> Tensor:
        half, levels, steps = (self._of_channel(x) for x in (self.levels // 2, self.levels, self.steps))
        digits = (latent_BCTHW.float() * half).round().long() + half
        return (digits.clamp(min=0).minimum(levels - 1) * steps).sum(dim=1)

    def latent_of(self, codes_BTHW: Tensor) -> Tensor:
        half, levels, steps = (self._of_channel(x) for x in (self.levels // 2, self.levels, self.steps))
        digits = codes_BTHW[:, None] // steps % levels
        return (digits - half) / half

    def _bounded(self, encoded_BCTHW: Tensor) -> Tensor:
        """Real numbers that round to as many whole numbers as there are levels, 0 among them."""
        levels = self._of_channel(self.levels)
        half = (levels - 1) * (1 - EPSILON) / 2
        offset = 0.5 * (levels % 2 == 0)
        return (encoded_BCTHW + torch.tan(offset / half)).tanh() * half - offset

    @staticmethod
    def _of_channel(values_C: Tensor) -> Tensor:
        return values_C.view(1, -1, 1, 1, 1)
