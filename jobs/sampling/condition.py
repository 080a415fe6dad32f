"""The image or video that a sample starts from: read, cropped to the sample's shape, resampled to its frame rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.orientation import orientation_of
from pipeline.decode.random_access import frames_at
from pipeline.decode.reader import FrameReader, open_video
from pipeline.decode.sizes import square_pixel_size
from pipeline.ingest.failures import MediaError
from schemas.errors import UsageError


@dataclass(frozen=True)
class Source:
    """A file that can be decoded: its size as displayed, and the presentation times of its frames."""

    path: str
    width_px: int
    height_px: int
    times_us: tuple[int, ...]


def open_source(path: str) -> Source:
    """Decode a file once to find its size and times.

    Raises:
        UsageError: no frame of it can be decoded.
    """
    try:
        container, stream = open_video(path)
    except (OSError, MediaError) as error:
        raise UsageError(f"{path}: {error}") from error
    with container:
        reader = FrameReader(container, stream)
        size = None
        for frame in reader:
            if size is None:
                shape = float(stream.sample_aspect_ratio or 1)
                size = orientation_of(frame, path).displayed(*square_pixel_size(frame.width, frame.height, shape))
    if size is None:
        raise UsageError(f"{path}: no frame of it can be decoded")
    return Source(path, *size, tuple(reader.times_us))


def centre_box(source: Source, size_px: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred box with the aspect ratio of `size_px` (width, height): x, y, width, height."""
    width, height = size_px
    scale = min(source.width_px / width, source.height_px / height)
    box_width, box_height = max(round(width * scale), 1), max(round(height * scale), 1)
    return (source.width_px - box_width) // 2, (source.height_px - box_height) // 2, box_width, box_height


def frames_of(
    source: Source, size_px: tuple[int, int], fps: float, count: int, *, from_end: bool = False
) -> np.ndarray:
    """The first frames of a source, or the last, resampled to `fps`; a picture is repeated.

    Returns:
        (count, H, W, 3) uint8 RGB of `size_px` (width, height).
    Raises:
        UsageError: the source is shorter, or cannot be decoded.
    """
    first_us, last_us = source.times_us[0], source.times_us[-1]
    is_picture = len(source.times_us) == 1
    steps_us = [round(i * MICROSECONDS / fps) for i in range(1 if is_picture else count)]
    if steps_us[-1] > last_us - first_us + MICROSECONDS / fps:
        have_s = (last_us - first_us) / MICROSECONDS
        raise UsageError(
            f"{source.path}: {have_s:.2f} s are shorter than the {count / fps:.2f} s of the clip; give --seconds"
        )
    if from_end:
        times_us = [max(last_us - step, first_us) for step in reversed(steps_us)]
    else:
        times_us = [first_us + step for step in steps_us]
    try:
        displayed = (source.width_px, source.height_px)
        frames = frames_at(source.path, times_us, centre_box(source, size_px), displayed, size_px)
    except MediaError as error:
        raise UsageError(f"{source.path}: {error}") from error
    return np.repeat(frames, count, axis=0) if is_picture else frames


def last_frames(source: Source, size_px: tuple[int, int], fps: float, max_frames: int, stride_t: int) -> np.ndarray:
    """The last frames of a source, resampled to `fps`: at most `max_frames`, rounded down to stride_t * k + 1.

    Returns:
        (T, H, W, 3) uint8 RGB of `size_px` (width, height).
    """
    count = max(min(num_frames_of(source, fps), max_frames) - 1, 0) // stride_t * stride_t + 1
    return frames_of(source, size_px, fps, count, from_end=True)


def num_frames_of(source: Source, fps: float) -> int:
    """Frames of a source at a rate; 1 of a picture."""
    return int((source.times_us[-1] - source.times_us[0]) / MICROSECONDS * fps + 1e-6) + 1
