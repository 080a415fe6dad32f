"""The `clips` table: one row per clip, with its span, its scores, and the decision with every reason for it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import Table, column

KEPT, REJECTED, FAILED = "kept", "rejected", "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A span of one shot. Scores are null where they have no meaning, as motion has for a still image."""

    clip_id: str = column(pa.string(), "hash of video_id, start_us and end_us")
    video_id: str = column(pa.string(), "hash of the video's bytes")
    uri: str = column(pa.string(), "where the video is")
    shot_index: int = column(pa.int32(), "number of the shot in its video, from 0")
    start_us: int = column(pa.int64(), "presentation time of the first frame", unit="us")
    end_us: int = column(pa.int64(), "presentation time at which the last frame ends (half-open span)", unit="us")
    is_image: bool = column(pa.bool_(), "the input is a still image: one frame, span [0, 1)")
    num_frames: int = column(pa.int64(), "frames in the span")
    fps: float | None = column(pa.float64(), "frames over span; null for an image", unit="1/s")
    width: int = column(pa.int32(), "as displayed", unit="px")
    height: int = column(pa.int32(), "as displayed", unit="px")
    content_box: list[int] | None = column(
        pa.list_(pa.int32(), 4), "x, y, width, height of the picture inside letterbox bars, as displayed", unit="px"
    )
    duration_s: float | None = column(pa.float64(), "length of the span; null for an image", unit="s")
    short_side_px: int | None = column(pa.int32(), "shorter side of the content box", unit="px")
    brightness: float | None = column(pa.float64(), "mean luma over the clip, 0 black to 1 white")
    motion_px_s: float | None = column(
        pa.float64(),
        "mean optical-flow speed at 256 px for the longer side; null if fewer than two frames",
        unit="px/s",
    )
    bars_frac: float | None = column(pa.float64(), "share of the frame that is letterbox or pillarbox bar")
    decode_errors: int = column(pa.int32(), "packets refused by the decoder within the span")
    status: str = column(pa.string(), "'kept', 'rejected' or 'failed'")
    reasons: list[str] = column(pa.list_(pa.string()), "every rule that rejects the clip, or why measuring failed")


CLIPS = Table(Clip, "clips", key=("clip_id",))
