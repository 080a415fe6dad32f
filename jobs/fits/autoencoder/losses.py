"""The loss on pixels. Those of the bottleneck are with it, in `model.codec.bottlenecks`."""

from __future__ import annotations

from torch import Tensor

GRADIENT_WEIGHT = 0.5
SQUARED_WEIGHT = 4.0
MOVING_WEIGHT = 3.0
"""How much a pixel counts that has changed since the frame before."""
MOVING_LEVEL = 8 / 127.5
"""Change by which a pixel counts as moving: 8 of 255 levels."""


def moving_pixels(truth: Tensor) -> Tensor:
    """Which pixels of (B, 3, T, H, W) have changed since the frame before: (B, 1, T, H, W) bool; none of the first."""
    change = truth.diff(dim=2, prepend=truth[:, :, :1]).abs()
    return change.amax(dim=1, keepdim=True) > MOVING_LEVEL


def reconstruction_loss(video: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of pixels and of their differences along width and height, and mean squared error, each
    weighted to pixels that move.

    With absolute error alone, small objects vanish whose position is uncertain: the median over the possible positions
    is background.
    """
    weight = 1 + (MOVING_WEIGHT - 1) * moving_pixels(truth).float()
    error = video - truth
    loss = (weight * (error.abs() + SQUARED_WEIGHT * error.square())).mean()
    for axis in (3, 4):
        inner = weight.narrow(axis, 1, weight.shape[axis] - 1)
        loss = loss + GRADIENT_WEIGHT * (inner * error.diff(dim=axis).abs()).mean()
    return loss
