"""The frames of a clip that models are shown: spread by time over the whole clip, native aspect ratio, a pixel
budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.decode.random_access import frames_at
from pipeline.decode.reader import MediaError, fit_to_budget
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.sandbox import ChildDied, Limits, isolated
from schemas.recipe.limits import LimitsConfig


@dataclass(frozen=True)
class SampledClip:
    """Frames (T, H, W, 3) uint8 RGB with their times from the clip's start; or none, and why they could not be read."""

    frames: np.ndarray
    times_s: list[float]
    failure: str | None = None


def sample_times_us(start_us: int, end_us: int, num_frames: int) -> list[int]:
    """Middles of `num_frames` equal parts of a span, so that the first and the last count like any other.

    Raises:
        ValueError: fewer than one frame, or a span that ends before it starts.
    """
    if num_frames < 1 or end_us < start_us:
        raise ValueError(f"cannot take {num_frames} frames of the span {start_us}..{end_us} us")
    return [start_us + (2 * i + 1) * (end_us - start_us) // (2 * num_frames) for i in range(num_frames)]


def read_clip(path: str, clip: Mapping[str, Any], times_us: list[int], size: tuple[int, int]) -> np.ndarray:
    """Frames of a clip at given times, inside its content box, reduced to `size` (width, height): (T, H, W, 3) uint8.

    Raises:
        MediaError: the file does not decode.
    """
    displayed = (clip["width"], clip["height"])
    return frames_at(path, times_us, clip["content_box"], displayed, size)


def spread_times_us(clip: Mapping[str, Any], num_frames: int) -> list[int]:
    """Times of `num_frames` frames spread over a clip, or of as many as it has; one for an image."""
    num_frames = 1 if clip["is_image"] else min(num_frames, clip["num_frames"])
    return sample_times_us(clip["start_us"], clip["end_us"], num_frames)


def sample_clip(clip: Mapping[str, Any], times_us: list[int], max_pixels_px: int) -> SampledClip:
    """Read frames of a `clips` row; if the file cannot be read, the result says why."""
    width, height = fit_to_budget(clip["content_box"][2], clip["content_box"][3], max_pixels_px)
    try:
        with local_copy(clip["uri"], hashed=False) as local:
            frames = read_clip(local.path, clip, times_us, (width, height))
    except (OSError, MediaError) as error:
        return SampledClip(np.zeros((0, height, width, 3), np.uint8), [], f"frames: {error}")
    return SampledClip(frames, [(t - clip["start_us"]) * 1e-6 for t in times_us])


def sample_isolated(
    limits: LimitsConfig, clip: Mapping[str, Any], times_us: list[int], max_pixels_px: int
) -> SampledClip:
    """`sample_clip` in a process of its own; if the decoder dies there, the result says so."""
    try:
        return isolated(limits_of(limits), sample_clip, clip, times_us, max_pixels_px)
    except ChildDied as death:
        return SampledClip(np.zeros((0, 2, 2, 3), np.uint8), [], f"frames: {death}")


def frames_of(batch: pa.Table) -> list[np.ndarray]:
    """The frames of each row, from columns `frames` (bytes) and `shape`: (T, H, W, 3) uint8, T = 0 if unreadable."""
    pairs = zip(batch["frames"].to_pylist(), batch["shape"].to_pylist(), strict=True)
    return [np.frombuffer(data, np.uint8).reshape(shape) for data, shape in pairs]


def limits_of(config: LimitsConfig) -> Limits:
    """The recipe's limits for a process of its own."""
    return Limits(stall_s=config.stall_s, call_s=config.call_s, memory_bytes=round(config.memory_mib * 2**20))
