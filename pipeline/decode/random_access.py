"""Frames at given times: random access through decord, or through PyAV where decord cannot read a file.

decord seeks fast, but opens no images and fails at the first damaged packet of a file; PyAV decodes past it.
"""

from __future__ import annotations

import bisect
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import av.container
import av.error
import av.video.frame
import cv2
import numpy as np

from pipeline.decode.planes import reformatted
from pipeline.decode.reader import MICROSECONDS, FrameReader, MediaError, divided, open_video, rotation_turns
from pipeline.ingest.sandbox import heartbeat

if TYPE_CHECKING:
    import decord

TIME_SLACK_US = 1_000
"""Rounding between a container's time base and microseconds."""


def frames_at(
    path: str, times_us: Sequence[int], box: Sequence[int], displayed: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """Frames on screen at the given presentation times, cropped to `box` and reduced by area to `size`.

    Args:
        path: a local file.
        times_us: presentation times, ascending; the frame shown is the last that starts at or before each.
        box: x, y, width, height in displayed pixels.
        displayed: width and height that `box` refers to.
        size: width and height of the result.

    Returns:
        (T, H, W, 3) uint8 RGB.

    Raises:
        MediaError: as `open_video`, or `no_frames`.
    """
    num_declared, first_us = _declared(path)
    if num_declared > os.path.getsize(path):  # decord allocates memory for all of them
        return np.stack(_reduced(_decoded_at(path, times_us), box, displayed, size))
    decord = _load_decord()
    try:
        reader = decord.VideoReader(path, num_threads=1)
        starts_s = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        if np.unique(starts_s).size < starts_s.size:
            raise RuntimeError("decord gives no times, as for MPEG program streams")
        starts_us = first_us + np.round(starts_s * MICROSECONDS).astype(np.int64)
        order = np.argsort(starts_us, kind="stable")
        positions = np.searchsorted(starts_us[order], np.asarray(times_us) + TIME_SLACK_US, side="right") - 1
        wanted = order[np.maximum(positions, 0)]
        unique, inverse = np.unique(wanted, return_inverse=True)
        frames = (_read_one(reader, int(index)) for index in unique)
        return np.stack(_reduced(frames, box, displayed, size))[inverse]
    except (decord.DECORDError, RuntimeError, IndexError):
        return np.stack(_reduced(_decoded_at(path, times_us), box, displayed, size))


@cache
def _load_decord() -> ModuleType:
    """Import decord without the CUDA libraries that it would load for the whole process.

    Among them is NVBLAS, which would take over torch's matrix products on the CPU, and crashes without a GPU.
    """
    found = sys.modules.pop(CUDA_PACKAGES, None)
    sys.modules[CUDA_PACKAGES] = None  # pyrefly: ignore - how a module is declared missing
    try:
        import decord
    finally:
        del sys.modules[CUDA_PACKAGES]
        if found is not None:
            sys.modules[CUDA_PACKAGES] = found
    decord.logging.set_level(decord.logging.QUIET)
    return decord


CUDA_PACKAGES = "nvidia"


def _declared(path: str) -> tuple[int, int]:
    """How many frames the header declares, and when the first is shown, in microseconds: decord counts from there.

    Raises:
        MediaError: as `open_video`.
    """
    container, stream = open_video(path)
    with container:
        if stream.start_time is None or stream.time_base is None:
            return stream.frames, 0
        unit = stream.time_base
        return stream.frames, divided(stream.start_time * unit.numerator * MICROSECONDS, unit.denominator)


def _decoded_at(path: str, times_us: Sequence[int]) -> Iterator[np.ndarray]:
    """The same frames by decoding in order, (H, W, 3) RGB, upright."""
    shown: av.video.frame.VideoFrame | None = None
    next_index = 0
    for time_us, frame in _decoded_from(path, times_us[0]):
        if shown is not None:
            due = bisect.bisect_left(times_us, time_us - TIME_SLACK_US)
            for _ in range(next_index, due):
                yield _upright(shown)
            next_index = max(next_index, due)
        if next_index == len(times_us):
            return
        shown = frame
    if shown is None:
        raise MediaError("no_frames", "nothing decodes")
    for _ in range(next_index, len(times_us)):
        yield _upright(shown)


def _decoded_from(path: str, time_us: int) -> Iterator[tuple[int, av.video.frame.VideoFrame]]:
    """Presentation times and frames from the last key frame before a time, or from the start if that is not found."""
    if time_us > 0:
        container, stream = open_video(path)
        with container:
            frames = _timed(FrameReader(container, stream))
            first = next(frames, None) if _sought(container, time_us) else None
            if first is not None and first[1].pts is not None and first[0] <= time_us + TIME_SLACK_US:
                yield first
                yield from frames
                return
    container, stream = open_video(path)
    with container:
        yield from _timed(FrameReader(container, stream))


def _sought(container: av.container.InputContainer, time_us: int) -> bool:
    """Go to the key frame before a time, if the file can be sought in."""
    try:
        container.seek(time_us, backward=True)
    except av.error.FFmpegError:
        return False
    return True


def _timed(reader: FrameReader) -> Iterator[tuple[int, av.video.frame.VideoFrame]]:
    for frame in reader:
        yield reader.times_us[-1], frame


def _upright(frame: av.video.frame.VideoFrame) -> np.ndarray:
    pixels = reformatted(frame, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, rotation_turns(int(frame.rotation))))


def _read_one(reader: decord.VideoReader, index: int) -> np.ndarray:
    heartbeat()
    return _without_padding(reader[index].asnumpy())


def _without_padding(frame: np.ndarray) -> np.ndarray:
    """A decord frame as (H, W, 3): at widths of 16, 24, 32, 48, 96 and 144 px decord takes the rows' padding for
    channels.

    Seen in decord2 3.4.0. Its `get_batch` refuses such files; reading single frames works, and is as fast.
    """
    height, width = frame.shape[:2]
    return frame if frame.shape[2] == 3 else frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def _reduced(
    frames: Iterable[np.ndarray], box: Sequence[int], displayed: tuple[int, int], size: tuple[int, int]
) -> list[np.ndarray]:
    return [_crop_and_reduce(frame, box, displayed, size) for frame in frames]


def _crop_and_reduce(
    frame: np.ndarray, box: Sequence[int], displayed: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    fx, fy = frame.shape[1] / displayed[0], frame.shape[0] / displayed[1]
    x0, y0 = round(box[0] * fx), round(box[1] * fy)
    x1, y1 = max(round((box[0] + box[2]) * fx), x0 + 1), max(round((box[1] + box[3]) * fy), y0 + 1)
    return cv2.resize(frame[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
