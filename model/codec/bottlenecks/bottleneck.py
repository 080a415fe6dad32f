"""The seam between encoder and decoder: what a bottleneck makes of the encoder's output, in the fit and for storing.

A bottleneck acts on each position alone, so all that holds of the network in time and space holds with it: the latents
of a prefix are the prefix of the latents. What it learns beside gradients lies in buffers: those that are part of the
codec (a codebook) are saved with its weights, those of the fit alone (running means) are not.

Shapes: B batch, C channels, T, H, W positions. The encoder gives `encoder_channels`, a latent has `channels`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

STATISTICS_DECAY = 0.99


@dataclass(frozen=True)
class Passed:
    """What a bottleneck gives in the fit."""

    latent_BCTHW: Tensor
    """What the decoder sees."""
    losses: dict[str, Tensor] = field(default_factory=dict)
    """Scalars by name, weighted: they are added to the loss."""


class Bottleneck(nn.Module, ABC):
    """Between an encoder and a decoder; calling it is for the fit, `latent` for all else."""

    running_mean: Tensor
    running_square: Tensor

    def __init__(self, channels: int, encoder_channels: int | None = None) -> None:
        """Args:
        channels: of a latent.
        encoder_channels: if others than those.
        """
        super().__init__()
        self.channels = channels
        self.encoder_channels = encoder_channels or channels
        self.register_buffer("running_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("running_square", torch.ones(channels), persistent=False)

    @abstractmethod
    def forward(self, encoded_BCTHW: Tensor) -> Passed:
        """What the decoder sees in the fit, with gradients, and the loss terms; buffers are brought up to date."""

    @abstractmethod
    def latent(self, encoded_BCTHW: Tensor) -> Tensor:
        """The latent that is stored, (B, channels, T, H, W): the same whenever it is asked for."""

    def corrupted(self, video_BCTHW: Tensor) -> Tensor:
        """What the encoder is shown of a video in the fit: the video, unless the kind says otherwise."""
        return video_BCTHW

    @torch.no_grad()
    def observe(self, latent_BCTHW: Tensor) -> None:
        """Bring the running mean and mean square of each channel up to date."""
        flat = latent_BCTHW.float().transpose(0, 1).flatten(1)
        self.running_mean.lerp_(flat.mean(dim=1), 1 - STATISTICS_DECAY)
        self.running_square.lerp_(flat.square().mean(dim=1), 1 - STATISTICS_DECAY)

    def running_std(self) -> Tensor:
        """(channels,) of the latents of the last steps."""
        return (self.running_square - self.running_mean.square()).clamp(min=1e-8).sqrt()


class DiscreteBottleneck(Bottleneck):
    """A bottleneck whose latents are of a finite set; each has a number, its code."""

    num_codes: int

    @abstractmethod
    def codes(self, latent_BCTHW: Tensor) -> Tensor:
        """The code of each position's latent, or of the nearest one: (B, T, H, W) int64."""

    @abstractmethod
    def latent_of(self, codes_BTHW: Tensor) -> Tensor:
        """The latents that codes stand for: (B, channels, T, H, W)."""

    @property
    def bits(self) -> float:
        """Of a code."""
        return math.log2(self.num_codes)


def straight_through(encoded: Tensor, quantised: Tensor) -> Tensor:
    """The quantised values, with the gradient of the encoder's output (Bengio et al. 2013)."""
    return encoded + (quantised - encoded).detach()


def code_use(codes: Tensor, num_codes: int) -> dict[str, float]:
    """How much of a codebook some codes use.

    Returns:
        `codes_used`: share of all codes that occur. `perplexity`: the number of codes that, used alike, would have the
        same entropy.
    """
    _, counts = codes.flatten().unique(return_counts=True)
    share = counts.double() / counts.sum()
    entropy = -(share * share.log()).sum()
    return {"codes_used": len(counts) / num_codes, "perplexity": float(entropy.exp())}
