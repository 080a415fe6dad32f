"""Videos of any length through the autoencoder, in memory that does not grow with it.

The networks are causal, so a video can be taken through them in pieces, given the two last frames that each convolution
in time has seen of the piece before. A piece always has the same number of latent frames, whatever the length of the
video: the last one is filled up by repeating its last frame, which changes nothing before it, and is cut again. So
every operation has the same shapes for a video and for its beginning, and their latents are equal bit for bit, where
kernels would otherwise choose other orders of summation. An image is the beginning of any video that starts with it.

Bits may differ between machines and numbers of threads, and on GPUs with the number of videos in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from model.codec.causal import STRIDE_HW, STRIDE_T, Autoencoder
from model.codec.pieces import peeked, pieces
from model.codec.spec import CodecSpec
from model.codec.tiles import decoder_margin, encoder_margin, over_tiles, tiles_of

PIECE_PX, MAX_PIECE = 1 << 15, 5
"""Pixels of the frames of a piece, counting one frame a latent, and latent frames of a piece at most. A choice: small
frames are taken together so that two cores have enough to do, and 17 frames of 96 x 64 are one piece."""
TILE_PX = 1 << 19
"""Pixels of a frame, or of a tile with its margins, that are taken through a network at once. A choice: frames of 480p
are whole. Encoding 848 x 480 on a CPU takes .3 GiB beside the process, decoding 1.1 GiB, for 9 frames as for 33."""


def piece_length(height: int, width: int) -> int:
    """How many latent frames are made or read at a time, for frames of this size in pixels."""
    return max(1, min(MAX_PIECE, PIECE_PX // (height * width)))


@dataclass(frozen=True)
class CausalCodec:
    """The autoencoder as a `VideoCodec`."""

    spec: CodecSpec
    network: Autoencoder

    @property
    def device(self) -> torch.device:
        return self.network.latent_mean.device

    @property
    def is_exact_in_batches(self) -> bool:
        """As tested in float32 on a CPU, where each position is a row of a product of matrices; elsewhere unknown."""
        return self.device.type == "cpu" and self.network.latent_mean.dtype == torch.float32

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        return encode_stream(self.network, (chunk.to(self.network.latent_mean) for chunk in frames))

    def decode_stream(self, latents: Iterable[Tensor]) -> Iterator[Tensor]:
        return decode_stream(self.network, (chunk.to(self.network.latent_mean) for chunk in latents))


@torch.no_grad()
def encode_stream(autoencoder: Autoencoder, frames: Iterable[Tensor], *, tile_px: int = TILE_PX) -> Iterator[Tensor]:
    """Raw latents of a video, or of a batch of videos, that comes in chunks.

    Args:
        frames: chunks of any lengths, (B, 3, t, H, W) in [-1, 1], with H and W multiples of 8 and 4k + 1 frames in all.
        tile_px: larger frames are taken in tiles of at most so many pixels.
    Yields:
        Chunks of latents, (B, latent_channels, t', H/8, W/8), with k + 1 latent frames in all.
    Raises:
        ValueError: no frames, or chunks that do not fit one another; when they end, not 4k + 1 frames.
    """
    chunks, first = peeked(frames, "frames")
    _, channels, _, height, width = first.shape
    if channels != 3 or height % STRIDE_HW or width % STRIDE_HW:
        raise ValueError(f"frames must be (B, 3, t, 8h, 8w), got {tuple(first.shape)}")
    margin = encoder_margin(autoencoder.config)
    tiles = tiles_of(height // STRIDE_HW, width // STRIDE_HW, margin, tile_px // STRIDE_HW**2)
    before_first = first[:, :, :1].expand(-1, -1, STRIDE_T - 1, -1, -1)
    length = piece_length(height, width) * STRIDE_T
    for piece, num_frames in pieces(chain([before_first], chunks), length):
        if num_frames % STRIDE_T:
            raise ValueError(f"a video must have 4k + 1 frames, but {num_frames % STRIDE_T} are left over at its end")
        latent = over_tiles(autoencoder.encode_groups, tiles, piece, STRIDE_HW, 1)
        yield latent[:, :, : num_frames // STRIDE_T]


@torch.no_grad()
def decode_stream(autoencoder: Autoencoder, latents: Iterable[Tensor], *, tile_px: int = TILE_PX) -> Iterator[Tensor]:
    """The video of raw latents that come in chunks.

    Args:
        latents: chunks of any lengths, (B, latent_channels, t', h, w), with k + 1 latent frames in all.
        tile_px: as for `encode_stream`.
    Yields:
        Chunks of frames, (B, 3, t, 8h, 8w), near [-1, 1] but not clipped, with 4k + 1 frames in all.
    Raises:
        ValueError: no latents, another number of channels, or chunks that do not fit one another.
    """
    chunks, first = peeked(latents, "latents")
    _, channels, _, height, width = first.shape
    if channels != autoencoder.config.latent_channels:
        raise ValueError(f"latents must have {autoencoder.config.latent_channels} channels, got {tuple(first.shape)}")
    tiles = tiles_of(height, width, decoder_margin(autoencoder.config), tile_px // STRIDE_HW**2)
    before_first = STRIDE_T - 1
    for piece, num_latents in pieces(chunks, piece_length(height * STRIDE_HW, width * STRIDE_HW)):
        video = over_tiles(autoencoder.decode_groups, tiles, piece, 1, STRIDE_HW)
        yield video[:, :, before_first : num_latents * STRIDE_T]
        before_first = 0
