"""Wan 2.1 and 2.2 (Wan team 2025), `AutoencoderKLWan` of diffusers: causal, streamed in encoding and in decoding.

The network's own methods take a whole video through encoder and decoder in pieces of one latent frame, with the
features that its convolutions keep of the pieces before. Here the pieces come from the stream.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    AutoencoderKLWan,
    WanCausalConv3d,
    patchify,
    unpatchify,
)
from torch import Tensor, nn

from model.codec.published.piecewise import PiecewiseCodec, Step
from model.codec.spec import CodecSpec


class WanCodec(PiecewiseCodec):
    """Frames are clipped to [-1, 1], as by the network's own method."""

    def __init__(self, spec: CodecSpec, network: AutoencoderKLWan) -> None:
        super().__init__(spec, network)
        self._network: Any = network
        self._patch = self._network.config["patch_size"] or 1

    def encoding(self) -> Step:
        features = _no_features(self._network.encoder)

        def step(frames: Tensor) -> Tensor:
            patches = patchify(frames, self._patch)
            return self._network.quant_conv(self._network.encoder(patches, feat_cache=features, feat_idx=[0]))

        return step

    def decoding(self) -> Step:
        features, is_first = _no_features(self._network.decoder), True

        def step(latents: Tensor) -> Tensor:
            nonlocal is_first
            inner = self._network.post_quant_conv(latents)
            patches = self._network.decoder(inner, feat_cache=features, feat_idx=[0], first_chunk=is_first)
            is_first = False
            return torch.clamp(unpatchify(patches, self._patch), -1.0, 1.0)

        return step


def _no_features(network: nn.Module) -> list[Any]:
    """What the network keeps of earlier pieces before the first one: a place for each causal convolution."""
    return [None] * sum(isinstance(layer, WanCausalConv3d) for layer in network.modules())
