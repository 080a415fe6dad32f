"""Lookup-free quantisation (MAGVIT-v2, Yu et al. 2023): each channel is -1 or 1, and a code is the bits of them all.

The entropy loss makes each position sure of its code, and all positions together use all codes. A position's soft
assignment, a softmax of the negative squared distance from each code, is a product over bits, so its entropy is a sum
over them. The entropy of the mean assignment is not. It is taken over all codes of up to `GROUP_BITS` bits at once, and
as a sum over groups of so many bits beyond that, an upper bound (as Open-MAGVIT2, Luo et al. 2024, factorises tokens).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.codec.bottlenecks.bottleneck import DiscreteBottleneck, Passed, straight_through
from model.codec.bottlenecks.config import LookupFreeConfig

GROUP_BITS = 10
MAX_BITS = 62


class LookupFree(DiscreteBottleneck):
    """The latent is the signs of the encoder's output; the first channel is the lowest bit of a code."""

    def __init__(self, config: LookupFreeConfig, channels: int) -> None:
        if channels > MAX_BITS:
            raise ValueError(f"bottleneck 'lfq' has at most {MAX_BITS} channels, got {channels}")
        super().__init__(channels)
        self.config, self.num_codes = config, 2**channels

    def forward(self, encoded_BCTHW: Tensor) -> Passed:
        encoded = encoded_BCTHW.float()
        quantised = self.latent(encoded)
        self.observe(quantised)
        of_each, of_all = entropies(encoded.movedim(1, -1).flatten(0, -2), self.config.temperature)
        losses = {
            "entropy": self.config.entropy_weight * (of_each - of_all),
            "commitment": self.config.commitment_weight * F.mse_loss(encoded, quantised),
        }
        return Passed(straight_through(encoded, quantised), losses)

    def latent(self, encoded_BCTHW: Tensor) -> Tensor:
        return torch.where(encoded_BCTHW > 0, 1.0, -1.0).to(encoded_BCTHW.dtype)

    def codes(self, latent_BCTHW: Tensor) -> Tensor:
        bits = (latent_BCTHW > 0).long()
        return (bits << self._places(bits)).sum(dim=1)

    def latent_of(self, codes_BTHW: Tensor) -> Tensor:
        bits = codes_BTHW[:, None] >> self._places(codes_BTHW) & 1
        return 2.0 * bits - 1.0

    def _places(self, like: Tensor) -> Tensor:
        return torch.arange(self.channels, device=like.device).view(1, -1, 1, 1, 1)


def entropies(encoded_NC: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Mean entropy of the positions' assignments to codes, and the entropy of their mean, in nats.

    Args:
        encoded_NC: N positions of C bits.
    """
    logits = 4 * encoded_NC / temperature  # |z + 1|^2 - |z - 1|^2 = 4 z
    set_NC, clear_NC = logits.sigmoid(), (-logits).sigmoid()
    of_each = -(set_NC * F.logsigmoid(logits) + clear_NC * F.logsigmoid(-logits)).sum(dim=1).mean()
    of_all = encoded_NC.new_zeros(())
    for start in range(0, encoded_NC.shape[1], GROUP_BITS):
        codes_NK = encoded_NC.new_ones(len(encoded_NC), 1)
        for i in range(start, min(start + GROUP_BITS, encoded_NC.shape[1])):
            codes_NK = torch.cat([codes_NK * clear_NC[:, i : i + 1], codes_NK * set_NC[:, i : i + 1]], dim=1)
        mean_K = codes_NK.mean(dim=0)
        of_all = of_all - torch.xlogy(mean_K, mean_K).sum()
    return of_each, of_all
