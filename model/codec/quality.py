"""How near a video is to the true one: peak signal-to-noise ratio and structural similarity.

Shapes: B batch, C channels, T frames, H and W pixels; values in [-1, 1], a range of 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""The window and the constants of Wang et al. 2004, section III.B."""


def psnr_db(video: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio of two videos in [-1, 1], in dB; the first is clipped to that range."""
    return float(10 * torch.log10(4.0 / F.mse_loss(video.clamp(-1, 1).float(), truth.float())))


def ssim(video_BCTHW: Tensor, truth_BCTHW: Tensor) -> Tensor:
    """Structural similarity of each pixel's neighbourhood (Wang et al. 2004, equation 13); the first is clipped.

    Returns:
        (B, C, T, H - 10, W - 10): of the pixels whose window lies in the frame. Its mean is the usual figure.
    Raises:
        ValueError: frames smaller than the window.
    """
    if min(video_BCTHW.shape[-2:]) < SSIM_WINDOW_PX:
        raise ValueError(f"frames must have at least {SSIM_WINDOW_PX} px a side, got {tuple(video_BCTHW.shape)}")
    x, y = ((video.float().clamp(-1, 1) + 1) / 2 for video in (video_BCTHW, truth_BCTHW))  # black is zero there
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x.square()
    variance_y = _windowed(y * y) - mean_y.square()
    covariance = _windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


def inside_windows(of_pixels: Tensor) -> Tensor:
    """Of something that each pixel has, (..., H, W), that of the pixels which `ssim` gives."""
    edge = SSIM_WINDOW_PX // 2
    return of_pixels[..., edge:-edge, edge:-edge]


def _windowed(x_BCTHW: Tensor) -> Tensor:
    """Mean of each pixel's neighbourhood, weighted by a Gaussian."""
    place = torch.arange(SSIM_WINDOW_PX, device=x_BCTHW.device) - SSIM_WINDOW_PX // 2
    weight = torch.exp(-(place**2) / (2 * SSIM_SIGMA_PX**2))
    weight = weight / weight.sum()
    frames = x_BCTHW.reshape(-1, 1, *x_BCTHW.shape[-2:])
    rows = F.conv2d(frames, weight.view(1, 1, -1, 1))
    smooth = F.conv2d(rows, weight.view(1, 1, 1, -1))
    return smooth.view(*x_BCTHW.shape[:-2], *smooth.shape[-2:])
