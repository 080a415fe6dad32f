"""The seam behind which every video codec lies: video to raw latents and back, in streams of chunks.

Users know a codec by its name, its spec and this protocol only; `model.codec.loading` gives what a name stands for.

Shapes: B batch, C channels, T frames, H and W pixels, or their counts of latents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from model.codec.spec import CodecSpec


class VideoCodec(Protocol):
    """A loaded codec. Streams of one codec may be taken in turns, and keep no gradients."""

    @property
    def spec(self) -> CodecSpec:
        """What `codec_spec` reads from the files that it was loaded from."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def is_exact_in_batches(self) -> bool:
        """Whether a video has the same latents, bit for bit, among others in a batch as alone."""
        ...

    def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Raw latents of a video, or of a batch of videos, that comes in chunks; of a distribution, its mode.

        Args:
            frames: chunks of any lengths, floats on any device, (B, 3, t, H, W) in [-1, 1], with H and W in whole
                strides and one frame and whole strides of frames in all.
        Yields:
            Chunks of latents, (B, C, t', h, w), in the codec's precision and on its device.
        Raises:
            ValueError: no frames, another shape, or chunks that differ in more than their length.
        """
        ...

    def decode_stream(self, latents: Iterable[Tensor]) -> Iterator[Tensor]:
        """The video of raw latents that come in chunks.

        Args:
            latents: chunks of any lengths, floats on any device, (B, C, t', h, w).
        Yields:
            Chunks of frames, (B, 3, t, H, W), near [-1, 1] but not always within.
        Raises:
            ValueError: no latents, another number of channels, or chunks that differ in more than their length.
        """
        ...


def encode_frames(codec: VideoCodec, frames_THWC: Tensor) -> Tensor:
    """Raw latents of one video of 8-bit frames, which become floats a stride at a time.

    Args:
        frames_THWC: uint8 RGB on any device; one frame and whole strides more, sides in whole strides.
    Returns:
        (C, T', H', W'), on the device of the codec.
    Raises:
        ValueError: the shape is not of this form.
    """
    return encode_batch(codec, frames_THWC[None])[0]


def encode_batch(codec: VideoCodec, frames_BTHWC: Tensor) -> Tensor:
    """The same of several videos of one size at once: (B, T, H, W, 3) uint8 to (B, C, T', H', W')."""
    chunks = (
        (chunk.to(codec.device).permute(0, 4, 1, 2, 3).float() / 127.5) - 1.0
        for chunk in frames_BTHWC.split(codec.spec.stride_thw[0], dim=1)
    )
    return torch.cat(list(codec.encode_stream(chunks)), dim=2)


def whiten(raw_BCTHW: Tensor, spec: CodecSpec) -> Tensor:
    """Raw latents to ones of about zero mean and unit variance per channel, as transformers are given them."""
    mean, std = _statistics(spec, raw_BCTHW)
    return (raw_BCTHW - mean) / std


def unwhiten(latent_BCTHW: Tensor, spec: CodecSpec) -> Tensor:
    """The inverse of `whiten`."""
    mean, std = _statistics(spec, latent_BCTHW)
    return latent_BCTHW * std + mean


def _statistics(spec: CodecSpec, like: Tensor) -> tuple[Tensor, Tensor]:
    columns = torch.tensor([spec.mean, spec.std], device=like.device, dtype=like.dtype).view(2, 1, -1, 1, 1, 1)
    return columns[0], columns[1]
