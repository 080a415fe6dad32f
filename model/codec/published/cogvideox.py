"""CogVideoX (Yang et al. 2024), `AutoencoderKLCogVideoX` of diffusers: streamed in encoding and in decoding.

The network's own methods take a video in pieces of 8 frames, or 2 latent frames, the first one longer by what is left
over, with what its convolutions keep of the pieces before. Here the first piece always has 9 frames, or 3 latents. That
is the same for one frame and for 8k + 1; in between, their decoder would give 8 frames of 2 latents.

The convolutions are causal, but group norms are over all frames of a piece: a latent depends on later frames of its
piece, so only the latents of the first 8k + 1 frames are the prefix of the latents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from torch import Tensor

from model.codec.published.piecewise import PiecewiseCodec, Step
from model.codec.spec import CodecSpec


class CogVideoXCodec(PiecewiseCodec):
    first_latents, later_latents = 3, 2

    def __init__(self, spec: CodecSpec, network: AutoencoderKLCogVideoX) -> None:
        super().__init__(spec, network)
        self._network: Any = network

    def encoding(self) -> Step:
        return _carried(self._network.encoder)

    def decoding(self) -> Step:
        return _carried(self._network.decoder)


def _carried(network: Callable[..., tuple[Tensor, Any]]) -> Step:
    kept = None

    def step(piece: Tensor) -> Tensor:
        nonlocal kept
        given, kept = network(piece, conv_cache=kept)
        return given

    return step
