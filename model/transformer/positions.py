"""Positions in three axes: rotary (RoFormer, Su et al. 2021), or sines and cosines that are added to the tokens (DiT).

Rotary time in seconds makes frame rate a matter of sampling, not of content: the same motion has the same positions at
any rate. Angles are computed in float32 whatever the precision of the model.

Shapes: N tokens, H heads, d channels of a head, D channels of a token.
"""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10_000.0
"""Ratio of the slowest to the fastest rotation (RoFormer)."""
POSITIONS_PER_S = 4.0
"""One unit of the time axis is a latent frame of a 16 fps video at temporal stride 4 (Wan's rate)."""


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """Channels of a head for time, height and width: a quarter or so, and the rest in halves; all even.

    Raises:
        ValueError: fewer than 6 channels, or an odd number.
    """
    if head_dim < 6 or head_dim % 2:
        raise ValueError(f"rotary positions need an even head dimension of at least 6, got {head_dim}")
    pairs = head_dim // 2
    space = pairs * 3 // 8
    return 2 * (pairs - 2 * space), 2 * space, 2 * space


def rotary_angles(positions_N3: Tensor, dims: tuple[int, int, int]) -> Tensor:
    """Rotation angle of each pair of channels.

    Args:
        positions_N3: (N, 3) float32, along time, height and width.
        dims: channels of a head for each axis.
    Returns:
        (N, head_dim / 2) float32 radians.
    """
    angles = []
    for position_N, dim in zip(positions_N3.unbind(1), dims, strict=True):
        exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=position_N.device) / dim
        angles.append(position_N[:, None] * BASE**-exponents)
    return torch.cat(angles, dim=1)


def rotate(x_NHd: Tensor, angles_Nr: Tensor | None) -> Tensor:
    """Turn channel pairs (2i, 2i + 1) of every head by the token's angles, if there are any; keeps dtype."""
    if angles_Nr is None:
        return x_NHd
    cos, sin = angles_Nr.cos()[:, None], angles_Nr.sin()[:, None]
    even, odd = x_NHd.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2).to(x_NHd.dtype)


def sine_cosine(place_N3: Tensor, width: int, *, with_time: bool) -> Tensor:
    """What is added to tokens, (N, D) float32: half of the channels for the column and half for the row, as in DiT;
    with time, all channels for the frame, added to that (Latte, Ma et al. 2024).

    Args:
        place_N3: (N, 3) frame, row and column.
        width: D, a multiple of 4.
    """
    frame_N, row_N, column_N = place_N3.float().unbind(1)
    space_ND = torch.cat([_waves(column_N, width // 2), _waves(row_N, width // 2)], dim=1)
    return space_ND + _waves(frame_N, width) if with_time else space_ND


def _waves(position_N: Tensor, channels: int) -> Tensor:
    half = channels // 2
    exponents = torch.arange(half, dtype=torch.float64, device=position_N.device) / half
    angles = position_N.double()[:, None] * BASE**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
