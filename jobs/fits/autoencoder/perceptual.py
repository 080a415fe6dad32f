"""Perceptual losses: the distance of two videos in features that are nearer to sight than pixels.

`PyramidDistance` needs no weights: a Laplacian pyramid (Burt & Adelson 1983) whose bands are divided by the amplitude
around each place, so that an error counts less where there is much texture; a model of the early visual system that
agrees with people's judgement of image quality better than SSIM (Laparra et al. 2016). The features of the built-in
open_clip model would be another choice; it has seen nothing but the synthetic world, and a fit to them would look for
what that model tells apart.

`Lpips` (Zhang et al. 2018) is taken instead where its weights are given. Both compare frames one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_BANDS = 4
FILTER = (0.05, 0.25, 0.4, 0.25, 0.05)
"""Burt & Adelson 1983, with a = 0.4."""
CONSTANT = 0.17
"""Of the division, for pixels in [0, 1] (Laparra et al. 2016, section 2)."""


class PyramidDistance(nn.Module):
    """Mean absolute difference of normalised Laplacian pyramids, a mean over bands."""

    def forward(self, video_BCTHW: Tensor, truth_BCTHW: Tensor) -> Tensor:
        pairs = list(zip(normalised_bands(video_BCTHW), normalised_bands(truth_BCTHW), strict=True))
        return torch.stack([(one - other).abs().mean() for one, other in pairs]).mean()


def normalised_bands(video_BCTHW: Tensor) -> Iterator[Tensor]:
    """Bands of frames in [-1, 1], from fine to coarse, each (B * T * C, 1, h, w); the last one is what is left."""
    frames = (video_BCTHW.float().transpose(1, 2).flatten(0, 2)[:, None] + 1) / 2
    for _ in range(NUM_BANDS - 1):
        coarse = _blurred(frames)[..., ::2, ::2]
        wide = F.interpolate(coarse, size=frames.shape[-2:], mode="bilinear", align_corners=False)
        yield _normalised(frames - wide)
        frames = coarse
    yield _normalised(frames - frames.mean(dim=(-2, -1), keepdim=True))


def _normalised(band: Tensor) -> Tensor:
    return band / (CONSTANT + _blurred(band.abs()))


def _blurred(frames_N1HW: Tensor) -> Tensor:
    weight = torch.tensor(FILTER, device=frames_N1HW.device)
    padded = F.pad(frames_N1HW, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, weight.view(1, 1, -1, 1)), weight.view(1, 1, 1, -1))


ALEXNET_ENDS = (2, 5, 8, 10, 12)
"""Where features are taken of torchvision's AlexNet: after each of its five activations."""
CHANNEL_SHIFT, CHANNEL_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's statistics for pixels in [-1, 1], as LPIPS has them."""
ALEXNET_FILE, HEADS_FILE = "alexnet.pth", "lpips_alex.pth"


class Lpips(nn.Module):
    """LPIPS on AlexNet (Zhang et al. 2018, equation 1)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, folder: Path) -> None:
        """Args:
            folder: has torchvision's weights of AlexNet as `alexnet.pth` and LPIPS' `alex.pth` as `lpips_alex.pth`.
        Raises:
            ValueError: a file is missing, or of something else.
        """
        from torchvision.models import alexnet

        super().__init__()
        network = alexnet(weights=None)
        try:
            network.load_state_dict(torch.load(folder / ALEXNET_FILE, map_location="cpu"))
            heads = torch.load(folder / HEADS_FILE, map_location="cpu")
            self.heads = nn.ParameterList([heads[f"lin{i}.model.1.weight"] for i in range(len(ALEXNET_ENDS))])
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{folder} does not hold the weights of LPIPS: {error}") from error
        starts = (0, *ALEXNET_ENDS[:-1])
        self.slices = nn.ModuleList(
            [network.features[start:end] for start, end in zip(starts, ALEXNET_ENDS, strict=True)]
        )
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.register_buffer("shift", torch.tensor(CHANNEL_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(CHANNEL_SCALE).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, video_BCTHW: Tensor, truth_BCTHW: Tensor) -> Tensor:
        one, other = (self._features(video) for video in (video_BCTHW, truth_BCTHW))
        layers = zip(self.heads, one, other, strict=True)
        return torch.stack([F.conv2d((x - y).square(), head).mean() for head, x, y in layers]).sum()

    def _features(self, video_BCTHW: Tensor) -> list[Tensor]:
        x = (video_BCTHW.float().transpose(1, 2).flatten(0, 1) - self.shift) / self.scale
        found = []
        for layers in self.slices:
            x = layers(x)
            found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return found


def perceptual_distance(lpips: Path | None) -> nn.Module:
    """LPIPS of the weights in a folder, or the distance that needs none."""
    return Lpips(lpips) if lpips else PyramidDistance()
