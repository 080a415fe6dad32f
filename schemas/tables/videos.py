"""The `videos` table: one row per input, with what probing found or why it failed."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import Table, column

PROBED, FAILED = "probed", "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """One input, named by its URI and identified by its bytes."""

    uri: str = column(pa.string(), "where the bytes were read: an absolute path or a URI")
    video_id: str | None = column(pa.string(), "hash of the bytes; null if they could not be read")
    status: str = column(pa.string(), "'probed' or 'failed'")
    reason: str | None = column(pa.string(), "why it failed, one word")
    detail: str | None = column(pa.string(), "why it failed, as the decoder or file system put it")
    duplicate_of: str | None = column(
        pa.string(), "URI of the input with the same bytes whose clips stand for this one"
    )
    file_bytes: int = column(pa.int64(), "size of the file", unit="bytes")
    modified_us: int = column(pa.int64(), "last modification, Unix time; 0 where the store does not tell", unit="us")
    container: str | None = column(pa.string(), "container format by FFmpeg's name")
    codec: str | None = column(pa.string(), "video codec by FFmpeg's name")
    pixel_format: str | None = column(pa.string(), "pixel format by FFmpeg's name")
    stream_index: int | None = column(pa.int32(), "the video stream that is read (FFmpeg's best)")
    width: int | None = column(pa.int32(), "as displayed: after rotation and sample aspect ratio", unit="px")
    height: int | None = column(pa.int32(), "as displayed: after rotation and sample aspect ratio", unit="px")
    rotation_deg: int | None = column(pa.int32(), "display rotation, counter-clockwise", unit="deg")
    sample_aspect_ratio: float | None = column(pa.float64(), "width of a stored pixel over its height")
    fps: float | None = column(pa.float64(), "decoded frames over presentation time", unit="1/s")
    variable_frame_rate: bool | None = column(pa.bool_(), "frame intervals differ by more than 10% and 2 ms")
    num_frames: int | None = column(pa.int64(), "frames that decoded")
    duration_us: int | None = column(
        pa.int64(), "presentation time from the first frame to the end of the last", unit="us"
    )
    decode_errors: int | None = column(pa.int32(), "packets that the decoder refused")
    audio_codec: str | None = column(pa.string(), "codec of the first audio stream")
    source: str = column(pa.string(), "JSON object of the input list's other columns (title, alt text, licence, ...)")


VIDEOS = Table(Video, "videos", key=("uri", "file_bytes", "modified_us"))
