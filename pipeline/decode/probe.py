"""Probe: what a file's header and its decoded frames say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import av.container
import av.video.frame
import av.video.stream
import numpy as np

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.orientation import Orientation
from pipeline.decode.planes import UNSPECIFIED
from pipeline.decode.sizes import square_pixel_size
from pipeline.decode.tone_mapping import HLG, PQ
from schemas.tables.videos import FAILED, PROBED

VFR_TOLERANCE_FRAC, VFR_TOLERANCE_US = 0.1, 2_000
"""The frame rate varies if intervals between frames differ by more than both; rounding to milliseconds alone does not
reach that."""

MAX_SAMPLE_ASPECT = 4.0
"""Pixels further from square than this mean a damaged header, and count as square; the widest in use are 2:1 (H.264,
table E-1)."""


def header_facts(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> dict[str, Any]:
    """Columns of the `videos` table that need no decoding."""
    audio = [audio.codec_context for audio in container.streams.audio]
    return {
        "container": container.format.name,
        "codec": stream.codec_context.name,
        "pixel_format": stream.codec_context.pix_fmt,
        "stream_index": stream.index,
        "sample_aspect_ratio": _plausible_ratio(float(stream.sample_aspect_ratio or 1)),
        "audio_codec": audio[0].name if audio and audio[0] is not None else None,
    }


def _plausible_ratio(sample_aspect_ratio: float) -> float:
    return sample_aspect_ratio if 1 / MAX_SAMPLE_ASPECT <= sample_aspect_ratio <= MAX_SAMPLE_ASPECT else 1.0


def picture_facts(
    frame: av.video.frame.VideoFrame, orientation: Orientation, sample_aspect_ratio: float
) -> dict[str, Any]:
    """Displayed size, orientation and colours, from the first decoded frame."""
    width, height = orientation.displayed(*square_pixel_size(frame.width, frame.height, sample_aspect_ratio))
    return {
        "width": width,
        "height": height,
        "rotation_deg": orientation.rotation_deg,
        "mirrored": orientation.is_mirrored,
        "bit_depth": max((part.bits for part in frame.format.components), default=8),
        "transfer": _name(TRANSFERS, frame.color_trc),
        "primaries": _name(PRIMARIES, frame.color_primaries),
    }


def _name(names: Mapping[int, str], code: int) -> str | None:
    return None if code in (0, UNSPECIFIED) else names.get(code, f"code {code}")


PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 11: "smpte431", 12: "smpte432"}
TRANSFERS = {1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 13: "srgb"} | {
    14: "bt2020-10",
    15: "bt2020-12",
    PQ: "pq",
    HLG: "hlg",
}
"""Names of the codes of ITU-T H.273, tables 2 and 3, that are in use."""


def time_facts(times_us: Sequence[int], last_duration_us: int) -> dict[str, Any]:
    """Frame count, rate and duration from the presentation times of all frames."""
    intervals_us = np.diff(np.asarray(times_us, np.int64))
    duration_us = int(times_us[-1] + last_duration_us)
    varies = False
    if intervals_us.size:
        spread_us = float(intervals_us.max() - intervals_us.min())
        varies = spread_us > max(VFR_TOLERANCE_FRAC * float(np.median(intervals_us)), VFR_TOLERANCE_US)
    return {
        "num_frames": len(times_us),
        "duration_us": duration_us,
        "fps": len(times_us) * MICROSECONDS / duration_us if duration_us else None,
        "variable_frame_rate": varies,
    }


UNKNOWN: dict[str, Any] = dict.fromkeys(
    (
        "container",
        "codec",
        "pixel_format",
        "stream_index",
        "width",
        "height",
        "rotation_deg",
        "mirrored",
        "bit_depth",
        "transfer",
        "primaries",
        "sample_aspect_ratio",
        "fps",
        "variable_frame_rate",
        "num_frames",
        "duration_us",
        "split",
        "decode_errors",
        "corrected_times",
        "size_changes",
        "audio_codec",
    )
)
"""Facts of a video of which nothing could be read."""


def probed(facts: dict[str, Any]) -> dict[str, Any]:
    return UNKNOWN | {"status": PROBED, "reason": None, "detail": None} | facts


def failed(reason: str, detail: str) -> dict[str, Any]:
    return UNKNOWN | {"status": FAILED, "reason": reason, "detail": detail}
