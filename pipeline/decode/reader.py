"""One-pass decoding through PyAV: frames in order, reduced as they stream past; codec errors become reasons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import av.codec.context
import av.container
import av.error
import av.video.frame
import av.video.stream
import cv2
import numpy as np

from pipeline.decode.prefetch import prefetch
from pipeline.ingest.sandbox import heartbeat

MICROSECONDS = 1_000_000
PLANAR_8_BIT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
PLANAR_10_BIT = frozenset({"yuv420p10le", "yuv422p10le", "yuv444p10le"})
NOMINAL_FPS = 25.0
"""Frame rate assumed for a stream that declares none and whose frames carry no time."""


class MediaError(Exception):
    """An input that cannot be used: `reason` is one word for the tables, `detail` what the decoder said."""

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
    if stream.codec_context.width and stream.codec_context.height:  # else FFmpeg has not found out yet
        require_bearable_size(stream.codec_context.width, stream.codec_context.height)
    return stream


def _refuse_playlist(path: str) -> None:
    """A list that FFmpeg would follow to other files of this machine is no video, whatever it is called."""
    with open(path, "rb") as file:
        if file.read(len(PLAYLIST_MAGIC)) == PLAYLIST_MAGIC:
            raise MediaError("unreadable", "a list of files for FFmpeg's concat demuxer")


PLAYLIST_MAGIC = b"ffconcat version"
MAX_SIDE_PX, MAX_PIXELS_PX = 32_767, 142_606_336
"""The largest picture that is read: that of the highest level of H.265 (7.2, table A.8), and of any side what OpenCV's
16-bit coordinates reach."""
MIN_SIDE_PX, MAX_ASPECT = 16, 16
"""The smallest picture: one block of the usual codecs; and as much of its shorter side is left when the longer one is
reduced to the 256 px that measures look at."""


def require_bearable_size(width: int, height: int) -> None:
    """Refuse a picture so large that a few of them fill a machine's memory, or too small to measure.

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
    """Decoded frames in presentation order, with the packets that failed counted, never fatal.

    `times_us` grows with every frame: strictly increasing presentation times.
    """

    container: av.container.InputContainer
    stream: av.video.stream.VideoStream
    prefetch: bool = False
    """Decode in a thread beside whoever takes the frames, some frames ahead."""
    motion_vectors: bool = False
    """Have the decoder hand its motion vectors on with the frames, which costs it about 7% (720p H.264)."""
    times_us: list[int] = field(default_factory=list)
    error_times_us: list[int] = field(default_factory=list)
    last_duration_us: int = 0
    packet_bytes: int = 0
    """Size of the packet that held the frame read last; 0 where packets carry no time."""

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
                        require_bearable_size(frame.width, frame.height)
                        num_bytes = 0 if frame.pts is None else sizes.pop(frame.pts, 0)
                        yield frame, *clock.read(frame), num_bytes
            except av.error.FFmpegError:
                self.error_times_us.append(clock.latest_us or 0)
                if len(self.error_times_us) > MAX_DECODE_ERRORS:
                    return


class _Clock:
    """Times of frames that grow whatever the stream says."""

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
    """The nearest integer to a quotient, halves to the even one, as `round` does; a tenth of the time of a Fraction."""
    whole, rest = divmod(number, by)
    return whole + (2 * rest > by or (2 * rest == by and whole % 2))


LARGE_PX = 1920 * 1088
"""Pictures above take longer to decode than to measure, and FFmpeg's own threads share that; below they cost more than
they give."""
MAX_AHEAD_FRAMES, MAX_AHEAD_BYTES = 24, 48 * 2**20
"""How many decoded frames may wait: about five looks' worth, which take ten times as long as a frame between them."""
MAX_WAITING_SIZES = 256
"""Sizes of packets whose frame has not come; more than any codec reorders."""


MAX_DECODE_ERRORS = 10_000
"""A stream that refuses more packets than this is given up; what decoded before stands."""


def luma_and_chroma(frame: av.video.frame.VideoFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The Y, U and V planes as views on the decoder's buffer, uint8 or (10-bit formats) uint16, before rotation.

    Formats other than planar YUV are converted to 8-bit 4:2:0 first.
    """
    name = frame.format.name
    if name not in PLANAR_8_BIT and name not in PLANAR_10_BIT:
        frame = reformatted(frame, format="yuv420p")
    dtype = np.uint16 if name in PLANAR_10_BIT else np.uint8
    planes = []
    for plane in frame.planes[:3]:
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width])
    return planes[0], planes[1], planes[2]


def reformatted(frame: av.video.frame.VideoFrame, **wanted: Any) -> av.video.frame.VideoFrame:
    """A frame in another format or size; one of a colour space that swscale does not know is taken for an untagged one.

    Raises:
        MediaError: `unknown_format`, if swscale takes it neither way.
    """
    try:
        return frame.reformat(**wanted)
    except av.error.FFmpegError:
        frame.colorspace, frame.color_primaries, frame.color_trc = UNSPECIFIED, UNSPECIFIED, UNSPECIFIED
    try:
        return frame.reformat(**wanted)
    except av.error.FFmpegError as error:
        raise MediaError("unknown_format", f"{frame.format.name}: {one_line(error)}") from error


UNSPECIFIED = 2
"""Colour space, primaries and transfer that are not told (ITU-T H.273, tables 2 to 4)."""


def reduce_planes(frame: av.video.frame.VideoFrame, long_side_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve a frame until its longer side is nearest to `long_side_px`, as stored.

    OpenCV halves an image an order of magnitude faster than it reduces by any other factor, so the few rows and columns
    beyond a whole multiple of the factor are left out.

    Returns:
        luma (h, w), blue and red difference (h/2, w/2), uint8; h and w are even.
    """
    luma, blue, red = luma_and_chroma(frame)
    halvings = max(0, round(math.log2(max(luma.shape) / long_side_px)))
    height, width = (max(2, side >> (halvings + 1) << 1) for side in luma.shape)
    return (
        _to_8_bit(_shrink(luma, halvings, height, width)),
        _to_8_bit(_shrink(blue, halvings, height // 2, width // 2)),
        _to_8_bit(_shrink(red, halvings, height // 2, width // 2)),
    )


def _shrink(plane: np.ndarray, halvings: int, height: int, width: int) -> np.ndarray:
    """Reduce by area to (height, width); chroma that is not subsampled like 4:2:0 takes the slow way."""
    if plane.shape[0] >> halvings not in (height, height + 1) or plane.shape[1] >> halvings not in (width, width + 1):
        return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
    plane = plane[: height << halvings, : width << halvings]
    for _ in range(halvings):
        plane = cv2.resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return plane


def displayed_luma(frame: av.video.frame.VideoFrame, rotation_deg: int) -> np.ndarray:
    """Luma at full size, as stored pixels turned upright, (H, W) uint8."""
    return np.rot90(_to_8_bit(luma_and_chroma(frame)[0]), rotation_turns(rotation_deg))


def rotation_turns(rotation_deg: int) -> int:
    """Quarter turns counter-clockwise that bring a stored frame upright."""
    return round(rotation_deg / 90) % 4


def _to_8_bit(plane: np.ndarray) -> np.ndarray:
    return plane if plane.dtype == np.uint8 else (plane >> 2).astype(np.uint8)


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
