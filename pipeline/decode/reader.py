"""Decoding in one pass through PyAV: frames in order, with their times; codec errors are counted, not raised."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import av.codec.context
import av.container
import av.error
import av.video.frame
import av.video.stream

from pipeline.decode.prefetch import prefetch
from pipeline.ingest.sandbox import heartbeat

MICROSECONDS = 1_000_000
NOMINAL_FPS = 25.0
"""Frame rate assumed for a stream that declares none and whose frames carry no time."""


class MediaError(Exception):
    """An input that cannot be used: `reason` is one word for the tables, `detail` what the decoder reported."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def open_video(path: str) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    """Open a file and choose its video stream as FFmpeg and decord do (the best one).

    Raises:
        MediaError: `unreadable`, `no_video_stream`, `unknown_codec`, `too_large` or `too_small`.
    """
    try:
        _refuse_playlist(path)
        container = av.open(path)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError("unreadable", one_line(error)) from error
    try:
        return container, _best_stream(container)
    except MediaError:
        container.close()
        raise


def _best_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, av.video.stream.VideoStream):
        raise MediaError("no_video_stream", f"{len(container.streams)} streams, none of them video")
    if stream.codec_context is None:
        raise MediaError("unknown_codec", f"video stream {stream.index} is in no codec that FFmpeg knows")
    if stream.codec_context.width and stream.codec_context.height:  # else FFmpeg does not know yet
        require_readable_size(stream.codec_context.width, stream.codec_context.height)
    return stream


def _refuse_playlist(path: str) -> None:
    """Refuse a playlist, which FFmpeg would follow to other files of this machine."""
    with open(path, "rb") as file:
        if file.read(len(PLAYLIST_MAGIC)) == PLAYLIST_MAGIC:
            raise MediaError("unreadable", "a list of files for FFmpeg's concat demuxer")


PLAYLIST_MAGIC = b"ffconcat version"
MAX_SIDE_PX, MAX_PIXELS_PX = 32_767, 142_606_336
"""The largest picture that is read: as many pixels as the highest level of H.265 allows (7.2, table A.8), and sides
within OpenCV's 16-bit coordinates."""
MIN_SIDE_PX, MAX_ASPECT = 16, 16
"""The smallest picture that is read: one block of the usual codecs. With this aspect, as much of the shorter side is
left when the longer one is reduced to the 256 px that measures read."""


def require_readable_size(width: int, height: int) -> None:
    """Refuse a picture that is so large that a few fill a machine's memory, or too small to measure.

    Raises:
        MediaError: `too_large` or `too_small`.
    """
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS_PX:
        limits = f"{MAX_SIDE_PX} px a side, {MAX_PIXELS_PX} px in all"
        raise MediaError("too_large", f"{width} x {height} px; limits: {limits}")
    if min(width, height) < max(MIN_SIDE_PX, max(width, height) / MAX_ASPECT):
        limits = f"{MIN_SIDE_PX} px a side, {MAX_ASPECT}:1"
        raise MediaError("too_small", f"{width} x {height} px; limits: {limits}")


@dataclass
class FrameReader:
    """Decoded frames in presentation order; packets that the decoder refuses are counted and passed over.

    `times_us` holds the presentation times of the frames so far, strictly increasing.
    """

    container: av.container.InputContainer
    stream: av.video.stream.VideoStream
    prefetch: bool = False
    """Decode in a thread of its own, some frames ahead."""
    motion_vectors: bool = False
    """Export the codec's motion vectors with the frames, which costs the decoder about 7% (720p H.264)."""
    times_us: list[int] = field(default_factory=list)
    error_times_us: list[int] = field(default_factory=list)
    last_duration_us: int = 0
    packet_bytes: int = 0
    """Size of the packet of the last frame read; 0 where packets carry no time."""

    def __post_init__(self) -> None:
        codec = self.stream.codec_context
        if self.prefetch and codec.width * codec.height > LARGE_PX:
            self.stream.thread_type = "AUTO"
        if self.motion_vectors:
            codec.flags2 |= av.codec.context.Flags2.export_mvs

    def __iter__(self) -> Iterator[av.video.frame.VideoFrame]:
        decoded = self._decoded()
        for frame, time_us, duration_us, packet_bytes in (
            prefetch(decoded, self._num_prefetched) if self.prefetch else decoded
        ):
            self.times_us.append(time_us)
            self.last_duration_us, self.packet_bytes = duration_us, packet_bytes
            yield frame

    @property
    def _num_prefetched(self) -> int:
        codec = self.stream.codec_context
        frame_bytes = max(codec.width * codec.height, 1) * 3 // 2
        return min(max(MAX_AHEAD_BYTES // frame_bytes, 1), MAX_AHEAD_FRAMES)

    def _decoded(self) -> Iterator[tuple[av.video.frame.VideoFrame, int, int, int]]:
        """Frames with their time, their duration and the size of their packet."""
        packets = self.container.demux(self.stream)
        clock = _Clock(self.stream)
        sizes: dict[int, int] = {}
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                heartbeat()
                if packet.pts is not None:
                    sizes[packet.pts] = packet.size
                    if len(sizes) > MAX_WAITING_SIZES:
                        del sizes[next(iter(sizes))]
                for frame in packet.decode():
                    if isinstance(frame, av.video.frame.VideoFrame):
                        require_readable_size(frame.width, frame.height)
                        num_bytes = 0 if frame.pts is None else sizes.pop(frame.pts, 0)
                        yield frame, *clock.read(frame), num_bytes
            except av.error.FFmpegError:
                self.error_times_us.append(clock.latest_us or 0)
                if len(self.error_times_us) > MAX_DECODE_ERRORS:
                    return


class _Clock:
    """Times of frames, strictly increasing whatever the stream says."""

    def __init__(self, stream: av.video.stream.VideoStream) -> None:
        self._usual_us = round(MICROSECONDS / float(stream.average_rate or NOMINAL_FPS))
        self.latest_us: int | None = None

    def read(self, frame: av.video.frame.VideoFrame) -> tuple[int, int]:
        """Presentation time and duration in microseconds."""
        time_us, duration_us = None, self._usual_us
        if frame.pts is not None and frame.time_base is not None:
            unit = frame.time_base.numerator * MICROSECONDS, frame.time_base.denominator
            time_us = divided(frame.pts * unit[0], unit[1])
            if frame.duration:
                duration_us = divided(frame.duration * unit[0], unit[1])
        if time_us is None or (self.latest_us is not None and time_us <= self.latest_us):
            time_us = 0 if self.latest_us is None else self.latest_us + duration_us
        self.latest_us = time_us
        return time_us, duration_us


def divided(number: int, by: int) -> int:
    """The nearest integer to a quotient, halves to even, like `round` of a Fraction but ten times as fast."""
    whole, rest = divmod(number, by)
    return whole + (2 * rest > by or (2 * rest == by and whole % 2))


LARGE_PX = 1920 * 1088
"""Larger pictures take longer to decode than to measure, so FFmpeg's own threads help; for smaller ones they cost more
than they save."""
MAX_AHEAD_FRAMES, MAX_AHEAD_BYTES = 24, 48 * 2**20
"""Decoded frames that may wait. A sampled frame takes ten times as long to measure as one between samples; this covers
about five samples."""
MAX_WAITING_SIZES = 256
"""Most packets whose size is kept until their frame is decoded; more than any codec reorders."""


MAX_DECODE_ERRORS = 10_000
"""After more refused packets decoding ends; what was decoded before is kept."""


def rotation_turns(rotation_deg: int) -> int:
    """Quarter turns counter-clockwise that bring a stored frame upright."""
    return round(rotation_deg / 90) % 4


def displayed_size(width: int, height: int, rotation_deg: int, sample_aspect_ratio: float) -> tuple[int, int]:
    """Width and height in square pixels after sample aspect ratio and rotation."""
    if sample_aspect_ratio >= 1:
        width = round(width * sample_aspect_ratio)
    else:
        height = round(height / sample_aspect_ratio)
    return (height, width) if rotation_turns(rotation_deg) % 2 else (width, height)


def fit_to_budget(width: int, height: int, max_pixels_px: int, multiple: int = 2) -> tuple[int, int]:
    """A size of about the same aspect ratio and pixel budget; each side is rounded to the nearest `multiple`."""
    scale = min(1.0, math.sqrt(max_pixels_px / (width * height)))
    return tuple(max(multiple, multiple * math.floor(side * scale / multiple + 0.5)) for side in (width, height))  # type: ignore[return-value]


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
