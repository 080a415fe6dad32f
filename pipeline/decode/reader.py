"""Decoding in one pass through PyAV: frames in order, with their times; codec errors are counted, not raised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import av
import av.codec.context
import av.container
import av.error
import av.format
import av.packet
import av.video.frame
import av.video.stream

from pipeline.decode.clock import Clock
from pipeline.decode.pictures import require_whole_picture
from pipeline.decode.planes import fitted
from pipeline.decode.prefetch import prefetch
from pipeline.decode.sizes import require_readable_size
from pipeline.ingest.failures import MediaError, one_line
from pipeline.ingest.sandbox import heartbeat


def open_video(path: str) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    """Open a file and choose its video stream as FFmpeg does (the best one), but never a cover picture.

    Raises:
        OSError: the file cannot be read.
        MediaError: `unreadable`, `playlist`, `no_video_stream`, `unknown_codec`, `too_large`, `too_small` or
            `truncated`.
    """
    try:
        container = av.open(path, options={"format_whitelist": _formats_of_one_file()})
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _refused(path, error) from error
    try:
        stream = _best_stream(container)
        require_whole_picture(path, container.format.name)
        return container, stream
    except MediaError:
        container.close()
        raise


def _best_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, av.video.stream.VideoStream):
        raise MediaError("no_video_stream", f"{len(container.streams)} streams, none of them video")
    if _is_cover(stream):
        films = [other for other in container.streams.video if not _is_cover(other)]
        if not films:
            raise MediaError("no_video_stream", f"{len(container.streams)} streams, the only picture is a cover")
        stream = films[0]
    if stream.codec_context is None:
        raise MediaError("unknown_codec", f"video stream {stream.index} is in no codec that FFmpeg knows")
    if stream.codec_context.width and stream.codec_context.height:  # else FFmpeg does not know yet
        require_readable_size(stream.codec_context.width, stream.codec_context.height)
    return stream


def _is_cover(stream: av.video.stream.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


PLAYLIST_FORMATS = frozenset(
    {
        "concat",
        "concatf",
        "dash",
        "hls",
        "imf",
        "image2pipe",
        "lavfi",
        "mpjpeg",
        "rtp",
        "rtsp",
        "sap",
        "sdp",
        "vapoursynth",
    }
    | {"avisynth", "ffmetadata", "tedcaptions", "webm_dash_manifest"}
)
"""What FFmpeg reads that is no film itself, but names other files, hosts or programs that it would open."""


@cache
def _formats_of_one_file() -> str:
    """The container formats that hold all they show, as FFmpeg's option takes them."""
    return ",".join(sorted(av.format.formats_available - PLAYLIST_FORMATS))


def _refused(path: str, error: BaseException) -> MediaError:
    """Why a file does not open: FFmpeg says of a format that it may not read no more than that a value is invalid.

    Raises:
        OSError: the file cannot be read at all.
    """
    with open(path, "rb") as file:
        start = file.read(PLAYLIST_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(PLAYLIST_STARTS) or b"<MPD" in start:
        return MediaError("playlist", "a list of other files, which are not opened: give the files themselves")
    return MediaError("unreadable", one_line(error))


PLAYLIST_BYTES = 1024
PLAYLIST_STARTS = (b"#EXTM3U", b"ffconcat version", b"v=0")


@dataclass
class FrameReader:
    """Decoded frames in presentation order, by one clock; packets that do not decode are counted and passed over.

    `times_us` holds the times of the frames so far from the first one, strictly increasing. All frames come in the size
    of the first: a stream may change its size, and is then fitted into it.
    """

    container: av.container.InputContainer
    stream: av.video.stream.VideoStream
    prefetch: bool = False
    """Decode in a thread of its own, some frames ahead."""
    motion_vectors: bool = False
    """Export the codec's motion vectors with the frames, which costs the decoder about 7% (720p H.264)."""
    first_us: int | None = None
    """The container's time of the first presented frame, where reading starts behind it."""
    times_us: list[int] = field(default_factory=list)
    error_times_us: list[int] = field(default_factory=list)
    """When packets were refused, gave no frame, or gave a damaged one."""
    num_refused: int = 0
    num_size_changes: int = 0
    last_duration_us: int = 0
    packet_bytes: int = 0
    """Size of the packet of the last frame read; 0 where packets carry no time."""

    def __post_init__(self) -> None:
        self.clock = Clock(self.container, self.stream, self.first_us)
        self._unseen: dict[int, int] = {}
        self._first_size: tuple[int, int] | None = None
        self._latest_size: tuple[int, int] | None = None
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
        packet = None
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                heartbeat()
                self.clock.enter(packet)
                self._expect(packet)
                for frame in packet.decode():
                    if isinstance(frame, av.video.frame.VideoFrame):
                        packet_bytes = 0 if frame.pts is None else self._unseen.pop(frame.pts, 0)
                        time_us, duration_us = self.clock.read(frame)
                        if frame.is_corrupt:
                            self.error_times_us.append(time_us)
                        yield self._in_first_size(frame), time_us, duration_us, packet_bytes
            except av.error.FFmpegError:
                self.num_refused += 1
                self.error_times_us.append(self.clock.latest_us or 0)
                if packet is not None:
                    self.clock.refuse(packet)
                    self._unseen.pop(packet.pts, None)  # pyrefly: ignore - a packet without a time is not among them
                if self.num_refused > MAX_DECODE_ERRORS:
                    break
        for pts in list(self._unseen):
            self._count_lost(pts)

    def _in_first_size(self, frame: av.video.frame.VideoFrame) -> av.video.frame.VideoFrame:
        size = frame.width, frame.height
        if size != self._latest_size:
            require_readable_size(*size)
            self.num_size_changes += self._latest_size is not None
            self._first_size, self._latest_size = self._first_size or size, size
        first = self._first_size or size
        return frame if size == first else fitted(frame, *first)

    def _expect(self, packet: av.packet.Packet) -> None:
        """Remember a packet's size until its frame comes; one that waits for too long has lost it."""
        if packet.pts is None or not packet.size or packet.is_discard:
            return
        self._unseen[packet.pts] = packet.size
        if len(self._unseen) > MAX_WAITING:
            pts = next(iter(self._unseen))
            del self._unseen[pts]
            self._count_lost(pts)

    def _count_lost(self, pts: int) -> None:
        """A packet without a frame is an error in codecs that have a frame in each, if it is not before the first
        frame, where a stream that was cut has pictures that lack the one they refer to."""
        time_us = self.clock.time_of(pts)
        if self.stream.codec_context.name in ONE_FRAME_A_PACKET and time_us > 0:
            self.error_times_us.append(time_us)


LARGE_PX = 1920 * 1088
"""Larger pictures take longer to decode than to measure, so FFmpeg's own threads help; for smaller ones they cost more
than they save."""
MAX_AHEAD_FRAMES, MAX_AHEAD_BYTES = 24, 48 * 2**20
"""Decoded frames that may wait. A sampled frame takes ten times as long to measure as one between samples; this covers
about five samples."""
MAX_WAITING = 256
"""Most packets that are remembered until their frame is decoded; more than any codec reorders."""
ONE_FRAME_A_PACKET = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "prores", "dnxhd", "mjpeg", "ffv1"})
MAX_DECODE_ERRORS = 10_000
"""After more refused packets decoding ends; what was decoded before is kept."""
