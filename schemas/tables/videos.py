"""The `videos` table: one row per input, with what probing found or why it failed."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import FAILED_FOR_NOW, FAILED_SO_OFTEN, Table, column

PROBED, FAILED = "probed", "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """One input, named by its URI and identified by its bytes."""

    uri: str = column(pa.string(), "where the bytes were read: an absolute path or a URI")
    video_id: str | None = column(pa.string(), "hash of the bytes; null if they could not be read")
    status: str = column(pa.string(), "'probed' or 'failed'")
    reason: str | None = column(pa.string(), "why it failed, one word")
    detail: str | None = column(pa.string(), "why it failed, as the decoder or file system put it")
    transient: bool | None = column(pa.bool_(), FAILED_FOR_NOW)
    num_failures: int | None = column(pa.int32(), FAILED_SO_OFTEN)
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
    mirrored: bool | None = column(pa.bool_(), "left and right are exchanged after the rotation")
    bit_depth: int | None = column(pa.int32(), "bits of a sample, as decoded", unit="bits")
    transfer: str | None = column(
        pa.string(), "transfer function by its usual name, 'pq' and 'hlg' for HDR; null where it is not tagged"
    )
    primaries: str | None = column(pa.string(), "colour primaries by their usual name; null where they are not tagged")
    sample_aspect_ratio: float | None = column(pa.float64(), "width of a stored pixel over its height")
    fps: float | None = column(pa.float64(), "decoded frames over presentation time", unit="1/s")
    variable_frame_rate: bool | None = column(pa.bool_(), "frame intervals differ by more than 10% and 2 ms")
    num_frames: int | None = column(pa.int64(), "frames that decoded")
    duration_us: int | None = column(
        pa.int64(), "presentation time from the first frame to the end of the last", unit="us"
    )
    split: str | None = column(
        pa.string(), "fingerprint of how it was divided into clips: code, detector and settings; null if it failed"
    )
    decode_errors: int | None = column(
        pa.int32(), "packets that the decoder refused, that gave no frame, or gave a damaged one"
    )
    corrected_times: int | None = column(
        pa.int64(), "frames whose time the container gave wrongly or not at all, as after a jump of its clock"
    )
    size_changes: int | None = column(
        pa.int32(), "how often the picture's stored size changes; all frames are fitted into the first size"
    )
    audio_codec: str | None = column(pa.string(), "codec of the first audio stream")
    source: str = column(pa.string(), "JSON object of the input list's other columns (title, alt text, licence, ...)")


VIDEOS = Table(Video, "videos", key=("uri",))
