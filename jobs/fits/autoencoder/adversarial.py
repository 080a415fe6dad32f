"""The adversarial loss: a discriminator of patches, as in VQGAN (Esser et al. 2021) and latent diffusion (Rombach et
al. 2022), over space and time.

Shapes: B batch, T frames, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 128)
LEARNING_RATE = 2e-4
BETAS = (0.5, 0.9)
"""Of Adam, as in VQGAN; the learning rate is a choice for batches of a few clips."""
MAX_WEIGHT = 1e4
"""Of the adaptive weight (Esser et al. 2021, code)."""


class PatchDiscriminator(nn.Module):
    """Scores of overlapping patches, high for true ones: (B, 3, T, H, W) to (B, 1, T, H/8, W/8).

    Convolutions over 3 frames and 4 x 4 pixels; group norms, for batches are small.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
            layers.append(nn.Conv3d(before, after, (3, 4, 4), stride=(1, 2, 2), padding=1))
            layers += [nn.GroupNorm(8, after)] if i else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv3d(WIDTHS[-1], 1, 3, padding=1))

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        return self.layers(video_BCTHW)


@dataclass(frozen=True)
class Adversary:
    """A discriminator, and how its judgement counts."""

    discriminator: PatchDiscriminator
    weight: float
    """Of the loss, once its gradient is as long as that of the reconstruction."""
    start_step: int
    """Before this step there is no adversarial loss, for there is nothing yet to judge."""

    @classmethod
    def new(cls, weight: float, start_step: int, device: str) -> Adversary:
        return cls(PatchDiscriminator().to(device).train(), weight, start_step)

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.discriminator.parameters(), lr=LEARNING_RATE, betas=BETAS)

    def of_reconstruction(self, video: Tensor, reconstruction_loss: Tensor, last: Tensor) -> Tensor:
        """The decoder's loss: high where the discriminator is not deceived.

        Args:
            video: with its graph, as `reconstruction_loss`.
            last: the weight of the decoder's last layer, in whose gradient the two losses are balanced.
        """
        loss = -self.discriminator(video).float().mean()
        return self.weight * adaptive_weight(reconstruction_loss, loss, last) * loss

    def of_discriminator(self, video: Tensor, truth: Tensor) -> Tensor:
        """The discriminator's own loss."""
        return hinge_loss(self.discriminator(truth).float(), self.discriminator(video.detach()).float())


def hinge_loss(true_scores: Tensor, made_scores: Tensor) -> Tensor:
    """Zero where true patches score above 1 and made ones below -1 (Lim & Ye 2017)."""
    return 0.5 * (F.relu(1 - true_scores).mean() + F.relu(1 + made_scores).mean())


def adaptive_weight(reconstruction_loss: Tensor, adversarial_loss: Tensor, last: Tensor) -> Tensor:
    """By which the adversarial gradient in the last layer is as long as the other (Esser et al. 2021, equation 7)."""
    (wanted,) = torch.autograd.grad(reconstruction_loss, last, retain_graph=True)
    (found,) = torch.autograd.grad(adversarial_loss, last, retain_graph=True)
    return (wanted.norm() / (found.norm() + 1e-4)).clamp(max=MAX_WEIGHT).detach()
