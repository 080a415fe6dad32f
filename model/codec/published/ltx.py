"""LTX-Video (HaCohen et al. 2024), `AutoencoderKLLTXVideo` of diffusers: streamed in encoding, decoded whole.

The encoder is causal, but keeps nothing of earlier pieces. Here its layers that look back in time are exchanged for
ones that do; weights and results are the same. The decoder of the published weights looks ahead as well, layer upon
layer, so it is given all latents at once and its memory grows with the video.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_ltx import (
    AutoencoderKLLTXVideo,
    LTXVideoCausalConv3d,
    LTXVideoDownsampler3d,
)
from torch import Tensor, nn

from model.codec.published.piecewise import PiecewiseCodec, Step
from model.codec.spec import CodecSpec

LOOKED_BACK = 2
"""Frames that a downsampler's convolution looks back at: one less than its kernel."""


class Past:
    """What the layers keep of the stream that is being encoded: the frames that each needs of earlier pieces."""

    def __init__(self) -> None:
        self.kept: dict[nn.Module, Tensor] = {}


class CarriedConv(nn.Module):
    """A causal convolution that goes on from the piece before; before the first, its first frame is repeated."""

    def __init__(self, layer: LTXVideoCausalConv3d, past: Past) -> None:
        super().__init__()
        self.conv, self._past = layer.conv, past

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        size, stride = self.conv.kernel_size[0], self.conv.stride[0]
        before = self._past.kept.get(self)
        if before is None:
            before = x_BCTHW[:, :, :1].expand(-1, -1, size - 1, -1, -1)
        seen = torch.cat([before, x_BCTHW], dim=2)
        self._past.kept[self] = seen[:, :, seen.shape[2] - (size - stride) :].clone()
        return self.conv(seen)


class CarriedDownsampler(nn.Module):
    """A downsampler that goes on from the piece before.

    The layer repeats the first frame of what it is given, to have whole groups. Of later pieces it is given, before
    their own frames, two that its convolution looks back at, and what it makes of these is dropped.
    """

    def __init__(self, layer: LTXVideoDownsampler3d, past: Past) -> None:
        super().__init__()
        self.layer, self._past = layer, past

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        before, stride = self._past.kept.get(self), self.layer.stride[0]
        looked_at = x_BCTHW[:, :, :1].expand(-1, -1, LOOKED_BACK, -1, -1) if before is None else before
        self._past.kept[self] = torch.cat([looked_at, x_BCTHW], dim=2)[:, :, -LOOKED_BACK:].clone()
        if before is None:
            return self.layer(x_BCTHW)
        whole_group = before[:, :, : stride - 1]
        return self.layer(torch.cat([whole_group, before, x_BCTHW], dim=2))[:, :, LOOKED_BACK:]


class LtxCodec(PiecewiseCodec):
    """Weights that are conditioned on a timestep decode at 0, as by default in `LTXPipeline`."""

    def __init__(self, spec: CodecSpec, network: AutoencoderKLLTXVideo) -> None:
        super().__init__(spec, network)
        self._network: Any = network
        self._past = Past()
        _exchange(self._network.encoder, self._past)

    def encoding(self) -> Step:
        kept: dict[nn.Module, Tensor] = {}

        def step(frames: Tensor) -> Tensor:
            self._past.kept = kept
            return self._network.encoder(frames)

        return step

    def decoding(self) -> Step:
        is_conditioned = self._network.config["timestep_conditioning"]

        def step(latents: Tensor) -> Tensor:
            timestep = latents.new_zeros(latents.shape[0]) if is_conditioned else None
            return self._network.decoder(latents, timestep)

        return step


def _exchange(network: nn.Module, past: Past) -> None:
    """Put layers that remember into the places of those that do not."""
    for name, layer in network.named_children():
        if isinstance(layer, LTXVideoDownsampler3d):
            setattr(network, name, CarriedDownsampler(layer, past))
        elif isinstance(layer, LTXVideoCausalConv3d):
            setattr(network, name, CarriedConv(layer, past))
        else:
            _exchange(layer, past)
