"""The `clips` table: one row per clip, with its span and its scores. What becomes of it is in `decisions`."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import Table, column
from schemas.tables.measures import STREAM_MEASURES

KEPT, REJECTED, FAILED, PENDING = "kept", "rejected", "failed", "pending"
"""What the view `clips` says of a clip: pending while it has no decision, as measures are missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A span of one shot."""

    clip_id: str = column(pa.string(), "hash of video_id, start_us and end_us")
    video_id: str = column(pa.string(), "hash of the video's bytes")
    uri: str = column(pa.string(), "where the video is")
    shot_index: int = column(pa.int32(), "number of the shot in its video, from 0")
    start_frame: int = column(pa.int64(), "number of the first frame in its video, in presentation order")
    start_us: int = column(pa.int64(), "presentation time of the first frame, from the first of the video", unit="us")
    end_us: int = column(pa.int64(), "presentation time at which the last frame ends (half-open span)", unit="us")
    is_image: bool = column(pa.bool_(), "the input is a still image: one frame, span [0, 1)")
    num_frames: int = column(pa.int64(), "frames in the span")
    fps: float | None = column(pa.float64(), "frames over span; null for an image", unit="1/s")
    width: int = column(pa.int32(), "as displayed", unit="px")
    height: int = column(pa.int32(), "as displayed", unit="px")
    transfer: str | None = column(pa.string(), "transfer function of the video; 'pq' and 'hlg' are HDR")
    duration_s: float | None = column(pa.float64(), "length of the span; null for an image", unit="s")
    decode_errors: int = column(
        pa.int32(), "packets within the span that were refused, gave no frame, or gave a damaged one"
    )
    split: str | None = column(
        pa.string(), "how its video was divided; clips of another division than the video's newest do not stand"
    )
    measured: str = column(pa.string(), "JSON object: the fingerprint of each measure of the decode pass")


CLIPS = Table(Clip, "clips", key=("clip_id",), parts=tuple(STREAM_MEASURES.values()))
