"""The diagonal-Gaussian bottleneck of a variational autoencoder (Kingma & Welling 2014, appendix B)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LOG_VARIANCE_RANGE = (-20.0, 10.0)
"""Keeps exp() finite in half precision; a fitted posterior stays far inside it."""


@dataclass(frozen=True)
class DiagonalGaussian:
    """A posterior with independent components; mean and log-variance have one shape."""

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def from_moments(cls, moments: Tensor) -> DiagonalGaussian:
        """Split (B, 2C, ...) network output into mean and log-variance, (B, C, ...) each."""
        mean, log_variance = moments.chunk(2, dim=1)
        return cls(mean, log_variance.clamp(*LOG_VARIANCE_RANGE))

    def mode(self) -> Tensor:
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def kl(self) -> Tensor:
        """KL divergence to the unit Gaussian in nats, a scalar: the mean over all components."""
        return 0.5 * (self.mean**2 + self.log_variance.exp() - 1.0 - self.log_variance).mean()
