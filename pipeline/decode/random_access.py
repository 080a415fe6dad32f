"""Frames at given times, by the clock of the single pass: read in the order of time, in one pass for all of them.

What lies between two wanted times is decoded and not converted. Only a long gap is skipped, and only in a file whose
own clock is known to be this one: by another way into the file, which is taken if it arrives at a key frame that is
shown in time. Decoding from a key frame gives the frames of the single pass; those that come out before it, such as
the leading pictures of an open group, are not trusted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property

import av.error
import av.video.frame
import cv2
import numpy as np

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.orientation import Orientation, orientation_of
from pipeline.decode.planes import rgb_picture, shown_in_sdr
from pipeline.decode.reader import FrameReader, open_video
from pipeline.ingest.failures import MediaError

SKIPPED_S = 8.0
"""A gap between wanted times that is skipped rather than decoded: longer than most groups of pictures, the usual 250
frames being 8 to 10 s."""
INDEXED_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
"""Containers that keep a time for every frame; in others a frame that is reached otherwise may have another time."""
EARLIER_S = (0.0, 4.0)
"""How long before the wanted time a key frame is looked for, one try after the other: containers that index by decoding
time find one that is shown a little too late."""


TimedFrame = tuple[int, av.video.frame.VideoFrame]
"""A time in microseconds and the frame that is shown from then on."""


def frames_at(
    path: str,
    times_us: Sequence[int],
    box: Sequence[int],
    displayed: tuple[int, int],
    size: tuple[int, int],
    *,
    regular: bool = False,
) -> np.ndarray:
    """Frames on screen at the given times, cropped to `box` and reduced by area to `size`.

    Args:
        path: a local file.
        times_us: microseconds from the first presented frame, ascending; the frame shown is the last that starts at or
            before each.
        box: x, y, width, height in displayed pixels.
        displayed: width and height that `box` refers to.
        size: width and height of the result.
        regular: whether the file's own clock is known to be right, so that gaps may be skipped.

    Returns:
        (T, H, W, 3) uint8 RGB.

    Raises:
        MediaError: as `open_video`, or `no_frames`.
    """
    with TimedFrames(path, regular=regular) as timed:
        return np.stack([shown.cut(box, displayed, size) for shown in timed.at(times_us)])


class Shown:
    """A frame on screen; the picture is made when it is first asked for."""

    def __init__(self, frame: av.video.frame.VideoFrame, orientation: Orientation) -> None:
        self._frame, self._orientation = frame, orientation

    @property
    def size(self) -> tuple[int, int]:
        """Height and width upright, in stored pixels."""
        return self._whole.shape[0], self._whole.shape[1]

    @cached_property
    def _whole(self) -> np.ndarray:
        return self._orientation.upright(rgb_picture(self._frame))

    def cut(self, box: Sequence[int], displayed: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """Its part inside a box of the displayed picture, reduced by area to `size`: (H, W, 3) uint8 RGB."""
        picture = self._whole
        fx, fy = picture.shape[1] / displayed[0], picture.shape[0] / displayed[1]
        x0, y0 = round(box[0] * fx), round(box[1] * fy)
        x1, y1 = max(round((box[0] + box[2]) * fx), x0 + 1), max(round((box[1] + box[3]) * fy), y0 + 1)
        inside = np.ascontiguousarray(picture[y0:y1, x0:x1])
        return shown_in_sdr(cv2.resize(inside, size, interpolation=cv2.INTER_AREA), self._frame)


class TimedFrames:
    """A file from which frames are taken by time; a context."""

    def __init__(self, path: str, *, regular: bool = False) -> None:
        self._path, self._regular = path, regular
        self._stack = ExitStack()
        self.num_decoded = 0

    def __enter__(self) -> TimedFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def at(self, times_us: Iterable[int]) -> Iterator[Shown]:
        """The frame on screen at each of some ascending times; before the first frame it is that one.

        Raises:
            MediaError: as `open_video`, or `no_frames`.
        """
        reader, frames = self._open()
        current = next(frames, None)
        if current is None:
            raise MediaError("no_frames", "nothing decodes")
        orientation = orientation_of(current[1], self._path)
        may_skip = self._regular and reader.container.format.name in INDEXED_FORMATS
        following, shown = next(frames, None), None
        for time_us in times_us:
            if may_skip and following and time_us - following[0] > SKIPPED_S * MICROSECONDS:
                ahead = self._from_key_frame(reader, following[0], time_us)
                if ahead is not None:
                    frames = ahead
                    current, following, shown = next(frames), next(frames, None), None
            while following and following[0] <= time_us:
                current, following, shown = following, next(frames, None), None
            shown = shown or Shown(current[1], orientation)
            yield shown

    def _open(self, first_us: int | None = None) -> tuple[FrameReader, Iterator[TimedFrame]]:
        container, stream = open_video(self._path)
        self._stack.enter_context(container)
        reader = FrameReader(container, stream, first_us=first_us)
        return reader, self._timed(reader)

    def _timed(self, reader: FrameReader) -> Iterator[TimedFrame]:
        for frame in reader:
            self.num_decoded += 1
            yield reader.times_us[-1], frame

    def _from_key_frame(self, reader: FrameReader, here_us: int, time_us: int) -> Iterator[TimedFrame] | None:
        """Frames from a key frame on that is shown after `here_us` and not after `time_us`; None if none is found."""
        for earlier_s in EARLIER_S:
            target_us = time_us - round(earlier_s * MICROSECONDS)
            if target_us <= here_us:
                return None
            ahead, frames = self._open(reader.clock.first_us)
            try:
                ahead.container.seek(reader.clock.to_ticks(target_us), backward=True, stream=ahead.stream)
            except av.error.FFmpegError:
                return None
            key = next((frame for frame in frames if frame[1].key_frame), None)
            if key is not None and here_us < key[0] <= time_us:
                return itertools.chain([key], frames)
        return None
