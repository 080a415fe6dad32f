"""The layers of the causal autoencoder: none sees a later frame, and no norm mixes time or space.

Shapes: B batch, T frames, H and W positions, C channels, which are last, where a convolution in time is one product of
matrices.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TimeCache = dict[nn.Module, Tensor]
"""Of a video that is seen in pieces (`model.codec.streaming`): the last two frames that each convolution in time has
seen, (B, 2, H, W, C); empty before the first piece."""


class NormSiLU(nn.Module):
    """Root-mean-square norm over the channels of each position, which mixes neither time nor space; then SiLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        x = x_BTHWC.float()
        scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)
        return F.silu(x * scale * self.weight).to(x_BTHWC.dtype)


class SpaceConv(nn.Conv2d):
    """3 x 3 convolution within each frame."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        frames = super().forward(x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2))
        return frames.permute(0, 2, 3, 1).unflatten(0, x_BTHWC.shape[:2])


class CausalTimeConv(nn.Linear):
    """Convolution over the two frames before and the present one; the first frame is repeated into its past.

    With a cache, the past is that of the pieces before, and the cache then holds that of the next piece.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(3 * channels, channels)
        nn.init.zeros_(self.weight)  # a block starts as the identity

    def forward(self, x_BTHWC: Tensor, cache: TimeCache | None = None) -> Tensor:
        frames, first = x_BTHWC.shape[1], x_BTHWC[:, :1]
        past = [cache[self]] if cache and self in cache else [first, first]
        seen = torch.cat([*past, x_BTHWC], dim=1)
        if cache is not None:
            cache[self] = seen[:, -2:].clone()
        return super().forward(torch.cat([seen[:, :frames], seen[:, 1:-1], seen[:, 2:]], dim=-1))


class Block(nn.Module):
    """Residual block: a convolution in space, then one in time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            NormSiLU(channels), SpaceConv(channels, channels), NormSiLU(channels), CausalTimeConv(channels)
        )

    def forward(self, x_BTHWC: Tensor, cache: TimeCache | None = None) -> Tensor:
        *in_space, in_time = self.layers
        x = x_BTHWC
        for layer in in_space:
            x = layer(x)
        return x_BTHWC + in_time(x, cache)


class Blocks(nn.Sequential):
    """Blocks one after another."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__(*[Block(channels) for _ in range(count)])

    def forward(self, x_BTHWC: Tensor, cache: TimeCache | None = None) -> Tensor:
        for block in self:
            x_BTHWC = block(x_BTHWC, cache)
        return x_BTHWC


def fold(x_BTHWC: Tensor, t: int, hw: int) -> Tensor:
    """Move t x hw x hw patches into the channels: (B, T, H, W, C) to (B, T/t, H/hw, W/hw, C*t*hw*hw)."""
    B, T, H, W, C = x_BTHWC.shape
    x = x_BTHWC.reshape(B, T // t, t, H // hw, hw, W // hw, hw, C)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(B, T // t, H // hw, W // hw, C * t * hw * hw)


def unfold(x_BTHWC: Tensor, t: int, hw: int) -> Tensor:
    """The inverse of `fold`."""
    B, T, H, W, C = x_BTHWC.shape
    x = x_BTHWC.reshape(B, T, H, W, C // (t * hw * hw), t, hw, hw)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(B, T * t, H * hw, W * hw, -1)
