"""Tables that training reads: the frozen `releases`, and the content-addressed caches `latents` and `text`.

Arrays are stored as bytes with dtype and shape beside them, in C order, so that any Parquet reader can use them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import FAILED_FOR_NOW, FAILED_SO_OFTEN, Table, column
from schemas.identity import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseClip:
    """One clip of a frozen selection: all that encoding and training need to know of it."""

    clip_id: str = column(pa.string(), "the clip")
    video_id: str = column(pa.string(), "hash of the video's bytes")
    uri: str = column(pa.string(), "where the video is")
    start_us: int = column(pa.int64(), "presentation time of the first frame", unit="us")
    end_us: int = column(pa.int64(), "presentation time at which the last frame ends", unit="us")
    is_image: bool = column(pa.bool_(), "a still image")
    num_frames: int = column(pa.int64(), "frames in the span")
    width: int = column(pa.int32(), "as displayed", unit="px")
    height: int = column(pa.int32(), "as displayed", unit="px")
    content_box: list[int] = column(pa.list_(pa.int32(), 4), "x, y, width, height inside letterbox bars", unit="px")
    motion_px_s: float | None = column(
        pa.float64(),
        "mean optical-flow speed at 256 px for the longer side; null for an image, and in releases of earlier versions",
        unit="px/s",
    )
    captioner: str = column(pa.string(), "fingerprint of the captioner")
    short: str = column(pa.string(), "short caption")
    medium: str | None = column(pa.string(), "medium caption")
    detailed: str = column(pa.string(), "detailed caption, merged with the source's own text where that was wanted")
    source: str = column(pa.string(), "JSON object of the input list's other columns")


RELEASES = Table(ReleaseClip, "releases", key=("clip_id",), is_stamped=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Latent:
    """A clip, or one of its frames alone, through the autoencoder: raw (unwhitened) latents, shape (C, T, H, W)."""

    clip_id: str = column(pa.string(), "the clip")
    transform: str = column(
        pa.string(), "fingerprint of frame rate and size settings, of the code, of the content box, and of `frame`"
    )
    encoder: str = column(pa.string(), "fingerprint of the autoencoder")
    frame: str | None = column(
        pa.string(),
        "which frame of the clip this is alone: 'first', 'middle' or 'last'; null for the whole clip",
    )
    status: str = column(pa.string(), "'ok' or 'failed'")
    reason: str | None = column(pa.string(), "why it failed")
    transient: bool | None = column(pa.bool_(), FAILED_FOR_NOW)
    num_failures: int | None = column(pa.int32(), FAILED_SO_OFTEN)
    dtype: str | None = column(pa.string(), "numpy name of the element type")
    shape: list[int] | None = column(pa.list_(pa.int32()), "channels, latent frames, height, width")
    num_positions: int | None = column(
        pa.int64(), "latent frames x height x width: the transformer's tokens are these over those of a patch"
    )
    valid: list[int] | None = column(
        pa.list_(pa.int32(), 3), "frames, width and height in pixels that are the clip's own; what follows is padding"
    )
    times_us: list[int] | None = column(
        pa.list_(pa.int64()), "for each of its own frames, when the frame of the video is shown that it is", unit="us"
    )
    fps: float | None = column(
        pa.float64(), "frames a second of the encoded clip before the autoencoder's stride", unit="1/s"
    )
    data_hash: str | None = column(pa.string(), "hash of `data`")
    data: bytes | None = column(pa.large_binary(), "elements in C order")


LATENTS = Table(Latent, "latents", key=("clip_id", "transform", "encoder"))


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEmbedding:
    """A text through the text encoder, unpadded: shape (tokens, channels)."""

    text_id: str = column(pa.string(), "hash of the text")
    encoder: str = column(pa.string(), "fingerprint of the text encoder")
    text: str = column(pa.string(), "the text itself")
    dtype: str = column(pa.string(), "numpy name of the element type")
    shape: list[int] = column(pa.list_(pa.int32()), "tokens, channels")
    data_hash: str | None = column(pa.string(), "hash of `data`; null in rows of earlier versions")
    data: bytes = column(pa.large_binary(), "elements in C order")


TEXT = Table(TextEmbedding, "text", key=("text_id", "encoder"))


def text_id(text: str) -> str:
    """The key of a text in the `text` table."""
    return digest("text", text)
