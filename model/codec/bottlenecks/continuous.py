"""Bottlenecks with latents of real numbers: none, noise, and a diagonal Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

from model.codec.bottlenecks.bottleneck import Bottleneck, Passed
from model.codec.bottlenecks.config import GaussianConfig, NoisedConfig, PlainConfig

LOG_VARIANCE_RANGE = (-30.0, 20.0)
"""As in latent diffusion (Rombach et al. 2022), so that no exponential overflows."""


class Plain(Bottleneck):
    """The latent is the encoder's output."""

    def __init__(self, config: PlainConfig, channels: int) -> None:
        super().__init__(channels)
        self.scale_weight = config.scale_weight

    def forward(self, encoded_BCTHW: Tensor) -> Passed:
        self.observe(encoded_BCTHW)
        return Passed(encoded_BCTHW, {"scale": self.scale_weight * encoded_BCTHW.float().square().mean()})

    def latent(self, encoded_BCTHW: Tensor) -> Tensor:
        return encoded_BCTHW


class Noised(Plain):
    """In the fit, noise on latents in proportion to the spread of their channels, and on what the encoder sees."""

    def __init__(self, config: NoisedConfig, channels: int) -> None:
        super().__init__(PlainConfig(config.scale_weight), channels)
        self.latent_noise, self.input_noise = config.latent_noise, config.input_noise

    def forward(self, encoded_BCTHW: Tensor) -> Passed:
        passed = super().forward(encoded_BCTHW)
        with torch.no_grad():
            deviation = self.running_std().view(1, -1, 1, 1, 1)
            amount = self.latent_noise * torch.rand(len(encoded_BCTHW), 1, 1, 1, 1, device=encoded_BCTHW.device)
            noise = amount * deviation * torch.randn_like(encoded_BCTHW, dtype=torch.float32)
        return Passed(encoded_BCTHW + noise.to(encoded_BCTHW.dtype), passed.losses)

    def corrupted(self, video_BCTHW: Tensor) -> Tensor:
        if not self.input_noise:
            return video_BCTHW
        return video_BCTHW + self.input_noise * torch.randn_like(video_BCTHW)


class Gaussian(Bottleneck):
    """The encoder gives mean and log variance; the decoder sees a sample in the fit, and the mean is stored."""

    def __init__(self, config: GaussianConfig, channels: int) -> None:
        super().__init__(channels, 2 * channels)
        self.kl_weight = config.kl_weight

    def forward(self, encoded_BCTHW: Tensor) -> Passed:
        mean, log_variance = encoded_BCTHW.float().chunk(2, dim=1)
        log_variance = log_variance.clamp(*LOG_VARIANCE_RANGE)
        self.observe(mean)
        sample = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return Passed(sample, {"kl": self.kl_weight * kl_nats(mean, log_variance).mean()})

    def latent(self, encoded_BCTHW: Tensor) -> Tensor:
        return encoded_BCTHW.chunk(2, dim=1)[0]


def kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of each Gaussian from the standard normal, in nats (Kingma & Welling 2013, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
