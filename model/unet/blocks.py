"""Parts of the U-Net: convolutions over space and then over time, and text read by cross-attention.

Shapes: b documents of one size, C channels, T H W places of a level, D width of the conditioning, L text tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_GROUPS = 8


def norm(channels: int) -> nn.GroupNorm:
    """Over all places of a document, by groups of channels."""
    return nn.GroupNorm(NORM_GROUPS, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """A convolution over space and one over time (Ho et al. 2022, Video Diffusion Models; Tran et al. 2018), the second
    one scaled and shifted by the conditioning (Dhariwal & Nichol 2021); passes on what it is given until trained."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.first_norm = norm(inputs)
        self.space = nn.Conv3d(inputs, outputs, (1, 3, 3), padding=(0, 1, 1))
        self.condition = nn.Linear(width, 2 * outputs)
        self.second_norm = norm(outputs)
        self.time = nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0))
        for parameter in self.time.parameters():
            nn.init.zeros_(parameter)
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x_bCTHW: Tensor, condition_bD: Tensor) -> Tensor:
        h = self.space(F.silu(self.first_norm(x_bCTHW)))
        scale, shift = self.condition(condition_bD)[..., None, None, None].chunk(2, dim=1)
        h = self.time(F.silu(self.second_norm(h) * (1 + scale) + shift))
        return self.skip(x_bCTHW) + h


class TextEmbedding(nn.Module):
    """Text embeddings to the width of the conditioning; a document without text has one learned token instead."""

    def __init__(self, text_dim: int, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(text_dim, eps=1e-6)
        self.project = nn.Linear(text_dim, width)
        self.none = nn.Parameter(torch.randn(1, width) * 0.02)

    def forward(self, text_ME: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """The tokens of each document's text, (L, D), out of (M, E) of all one after another."""
        texts = self.project(self.norm(text_ME)).split(list(lengths))
        return [text_LD if len(text_LD) else self.none for text_LD in texts]


class TextAttention(nn.Module):
    """Every place of a document attends to the tokens of its own text, of whatever length."""

    def __init__(self, channels: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = norm(channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(width, 2 * channels)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x_bCTHW: Tensor, texts_LD: Sequence[Tensor]) -> Tensor:
        q_bnC = self.to_q(self.norm(x_bCTHW).flatten(2).transpose(1, 2))
        read = [self._attended(q_nC, text_LD) for q_nC, text_LD in zip(q_bnC, texts_LD, strict=True)]
        return x_bCTHW + self.to_out(torch.stack(read)).transpose(1, 2).unflatten(2, x_bCTHW.shape[2:])

    def _attended(self, q_nC: Tensor, text_LD: Tensor) -> Tensor:
        k_LC, v_LC = self.to_kv(text_LD).chunk(2, dim=1)
        q, k, v = (part.unflatten(1, (self.num_heads, -1)).transpose(0, 1) for part in (q_nC, k_LC, v_LC))
        return F.scaled_dot_product_attention(q[None], k[None], v[None])[0].transpose(0, 1).flatten(1)


class Shrinking(nn.Module):
    """Half the rows and columns, of an odd number the larger half; as many frames."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, x_bCTHW: Tensor) -> Tensor:
        return self.conv(x_bCTHW)


class Growing(nn.Module):
    """As many rows and columns as there were before they were halved."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, x_bCTHW: Tensor, sides: Sequence[int]) -> Tensor:
        return self.conv(F.interpolate(x_bCTHW, size=tuple(sides), mode="nearest"))
