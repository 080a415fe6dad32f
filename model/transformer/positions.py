"""Rotary positions in three axes (RoFormer, Su et al. 2021): time in seconds, height and width in patches.

Time in seconds makes frame rate a matter of sampling, not of content: the same motion has the same positions at any
rate. Angles are computed in float32 whatever the precision of the model.

Shapes: N tokens, H heads, d channels of a head.
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


def rotary_angles(seconds_N: Tensor, grid_N3: Tensor, head_dim: int) -> Tensor:
    """Rotation angle of each pair of channels.

    Args:
        seconds_N: (N,) time of each token's frame.
        grid_N3: (N, 3) frame, row and column; the frame is not used.
    Returns:
        (N, head_dim / 2) float32 radians.
    """
    positions = (seconds_N.float() * POSITIONS_PER_S, grid_N3[:, 1].float(), grid_N3[:, 2].float())
    angles = []
    for position_N, dim in zip(positions, axis_dims(head_dim), strict=True):
        exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=position_N.device) / dim
        angles.append(position_N[:, None] * BASE**-exponents)
    return torch.cat(angles, dim=1)


def rotate(x_NHd: Tensor, angles_Nr: Tensor) -> Tensor:
    """Turn channel pairs (2i, 2i + 1) of every head by the token's angles; keeps dtype."""
    cos, sin = angles_Nr.cos()[:, None], angles_Nr.sin()[:, None]
    even, odd = x_NHd.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2).to(x_NHd.dtype)
