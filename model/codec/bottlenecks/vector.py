"""Vector quantisation with a codebook that is a moving average, and the revival of dead codes.

Van den Oord et al. 2017. A code is the running mean of the encoder's outputs that are nearest to it (appendix A.1), so
the codebook needs no gradient. Codes that are hardly used are moved to outputs of the present batch, as in Jukebox
(Dhariwal et al. 2020) and SoundStream (Zeghidour et al. 2021); all of them are at the first step, which thus takes the
first codes from data. Every operation has a fixed shape, so that a step can be captured as a CUDA graph.

Shapes: N positions, K codes, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.codec.bottlenecks.bottleneck import DiscreteBottleneck, Passed, straight_through
from model.codec.bottlenecks.config import VectorConfig


class VectorQuantised(DiscreteBottleneck):
    """The latent is the nearest vector of the codebook."""

    codebook: Tensor
    uses: Tensor
    sums: Tensor

    def __init__(self, config: VectorConfig, channels: int) -> None:
        super().__init__(channels)
        self.config, self.num_codes = config, config.num_codes
        self.register_buffer("codebook", torch.randn(config.num_codes, channels))
        # Running sums are of the fit: as 16-bit floats, in which weights are saved, they would lose too much.
        self.register_buffer("uses", torch.zeros(config.num_codes), persistent=False)
        self.register_buffer("sums", torch.zeros(config.num_codes, channels), persistent=False)

    def forward(self, encoded_BCTHW: Tensor) -> Passed:
        encoded = encoded_BCTHW.float()
        vectors_NC = encoded.detach().movedim(1, -1).flatten(0, -2)
        self._revive(vectors_NC)
        codes = nearest(vectors_NC, self.codebook)
        quantised = self.latent_of(codes.view(encoded.shape[:1] + encoded.shape[2:])).clone()
        self._follow(vectors_NC, codes)
        self.observe(quantised)
        commitment = self.config.commitment_weight * F.mse_loss(encoded, quantised)
        return Passed(straight_through(encoded, quantised), {"commitment": commitment})

    def latent(self, encoded_BCTHW: Tensor) -> Tensor:
        return self.latent_of(self.codes(encoded_BCTHW))

    def codes(self, latent_BCTHW: Tensor) -> Tensor:
        vectors_NC = latent_BCTHW.movedim(1, -1).flatten(0, -2)
        return nearest(vectors_NC, self.codebook).view(latent_BCTHW.shape[:1] + latent_BCTHW.shape[2:])

    def latent_of(self, codes_BTHW: Tensor) -> Tensor:
        return F.embedding(codes_BTHW, self.codebook).movedim(-1, 1)

    @torch.no_grad()
    def _revive(self, vectors_NC: Tensor) -> None:
        """Move dead codes to outputs of the batch, and count them as used like any other, which gives them time."""
        fair = len(vectors_NC) / self.num_codes
        dead = self.uses <= self.config.dead_share * fair
        drawn = vectors_NC[torch.randint(len(vectors_NC), (self.num_codes,), device=vectors_NC.device)]
        self.codebook.copy_(torch.where(dead[:, None], drawn, self.codebook))
        self.uses.masked_fill_(dead, fair)
        self.sums.copy_(torch.where(dead[:, None], fair * drawn, self.sums))

    @torch.no_grad()
    def _follow(self, vectors_NC: Tensor, codes: Tensor) -> None:
        """Move each code to the running mean of its vectors (van den Oord et al. 2017, equations 6 to 8)."""
        rest = 1 - self.config.decay
        uses = torch.zeros_like(self.uses).index_add_(0, codes, torch.ones_like(vectors_NC[:, 0]))
        self.uses.lerp_(uses, rest)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, codes, vectors_NC), rest)
        self.codebook.copy_(self.sums / self.uses.clamp(min=1e-8)[:, None])


def nearest(vectors_NC: Tensor, codebook_KC: Tensor) -> Tensor:
    """The code that is nearest to each vector, (N,) int64; the first of equal ones."""
    codebook = codebook_KC.float()
    distances_NK = codebook.square().sum(dim=1) - 2 * vectors_NC.float() @ codebook.T
    return distances_NK.argmin(dim=1)
