"""What the codecs of diffusers have in common: a stream is taken in pieces, each given what is kept of those before.

Frames are taken whole, not in tiles, so memory grows with their size: attention or group norms look at all of a frame,
and LTX-Video sees so far that the margins of a tile would be larger than the frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from model.codec.pieces import peeked, pieces
from model.codec.spec import CodecSpec, num_frames

Step = Callable[[Tensor], Tensor]
"""Takes the next piece of one stream through a network, (B, C, T, H, W) to the same; keeps what later ones need."""


class PiecewiseCodec(ABC):
    """A `VideoCodec` over one of diffusers' networks.

    A piece that is not full is filled up with its last frame, and what that adds is cut off again.
    """

    first_latents: ClassVar[int] = 1
    """Latent frames of the first piece, of which the first stands for one frame."""
    later_latents: ClassVar[int] = 1

    def __init__(self, spec: CodecSpec, network: nn.Module) -> None:
        self.spec = spec
        self._like = next(network.parameters())

    @property
    def device(self) -> torch.device:
        return self._like.device

    @property
    def is_exact_in_batches(self) -> bool:
        """No: convolutions over three axes choose their kernels by the number of videos."""
        return False

    @abstractmethod
    def encoding(self) -> Step:
        """A step from frames to the mean and log variance of their latents, (B, 2C, T, H, W), for a new stream."""

    @abstractmethod
    def decoding(self) -> Step:
        """A step from latents to frames, for a new stream."""

    @torch.no_grad()
    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        chunks, first = peeked(frames, "frames")
        stride_t, stride_h, stride_w = self.spec.stride_thw
        if first.shape[1] != 3 or first.shape[3] % stride_h or first.shape[4] % stride_w:
            raise ValueError(f"frames must be (B, 3, t, {stride_h}h, {stride_w}w), got {tuple(first.shape)}")
        step, seen, given = self.encoding(), 0, 0
        first_length = num_frames(self.first_latents, stride_t)
        for piece, filled in pieces(chunks, self.later_latents * stride_t, first_length):
            seen += filled
            if (seen - 1) % stride_t:
                raise ValueError(f"a video must have {stride_t}k + 1 frames, not {seen}")
            latents = (seen - 1) // stride_t + 1 - given
            mode = step(_alone(piece, seen).to(self._like))[:, : self.spec.channels]
            yield mode[:, :, :latents]
            given += latents

    @torch.no_grad()
    def decode_stream(self, latents: Iterable[Tensor]) -> Iterator[Tensor]:
        chunks, first = peeked(latents, "latents")
        if first.shape[1] != self.spec.channels:
            raise ValueError(f"latents must have {self.spec.channels} channels, got {tuple(first.shape)}")
        step, seen, given = self.decoding(), 0, 0
        for piece, filled in self._latent_pieces(chunks):
            seen += filled
            frames = num_frames(seen, self.spec.stride_thw[0]) - given
            yield step(_alone(piece, seen).to(self._like))[:, :, :frames]
            given += frames

    def _latent_pieces(self, chunks: Iterator[Tensor]) -> Iterator[tuple[Tensor, int]]:
        if self.spec.decodes_whole:
            whole = torch.cat(list(chunks), dim=2)
            return iter([(whole, whole.shape[2])])
        return pieces(chunks, self.later_latents, self.first_latents)


def _alone(piece_BCTHW: Tensor, seen: int) -> Tensor:
    """The piece; an image is not filled up to a video."""
    return piece_BCTHW[:, :, :1] if seen == 1 else piece_BCTHW
