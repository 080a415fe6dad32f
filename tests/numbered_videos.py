"""Videos whose frames carry their numbers, in every container and codec that FFmpeg writes here, under every condition
that has made readers disagree. So the frame at a time has one right answer.

A picture of 128 x 96 px is twelve blocks, black or white: the bits of the number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np

WIDTH, HEIGHT, COLUMNS, ROWS = 128, 96, 4, 3
BLOCK_PX = 32
FPS = 30
NUM_FRAMES = 75


def draw_number(number: int) -> np.ndarray:
    """(96, 128, 3) uint8 RGB."""
    bits = np.array([(number >> bit) & 1 for bit in range(COLUMNS * ROWS)], np.uint8).reshape(ROWS, COLUMNS)
    return np.repeat(np.kron(bits * 200 + 20, np.ones((BLOCK_PX, BLOCK_PX), np.uint8))[..., None], 3, axis=2)


def read_number(picture: np.ndarray) -> int:
    """The number that an upright (H, W, 3) picture shows, whatever its size."""
    small = cv2.resize(picture, (COLUMNS * 8, ROWS * 8), interpolation=cv2.INTER_AREA).mean(axis=2)
    means = small.reshape(ROWS, 8, COLUMNS, 8)[:, 2:6, :, 2:6].mean(axis=(1, 3))
    return sum(1 << bit for bit, mean in enumerate(means.ravel()) if mean > 120)


@dataclass(frozen=True)
class Case:
    """A file, the numbers that its frames show in the order of presentation, and when each is shown."""

    name: str
    suffix: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    muxer: str | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    times_s: tuple[Fraction, ...] = ()
    """When each frame is shown, and when the last one ends."""
    start_s: Fraction = Fraction(0)
    time_base: Fraction = Fraction(1, 90_000)
    hidden: int = 0
    """First frames that the container says are not shown."""
    rotation_deg_ccw: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    picture: Callable[[np.ndarray], np.ndarray] = np.asarray
    """From the upright picture to the stored one."""
    patch: Callable[[bytes], bytes] = bytes
    pieces: int = 1
    """Files, each of which starts its clock again, joined byte by byte."""
    piece_jump_s: Fraction = Fraction(0)
    """How much later the clock of each further piece starts than the one before."""
    precision_us: int = 20

    @property
    def numbers(self) -> list[int]:
        return list(range(self.hidden, len(self.times_s) - 1))

    @property
    def times_us(self) -> list[int]:
        """By the one clock: from the first presented frame."""
        first = self.times_s[self.hidden]
        return [round((time - first) * 1_000_000) for time in self.times_s[self.hidden : -1]]

    def write(self, folder: Path) -> Path:
        path = folder / (self.name.replace(" ", "_").replace("/", "_") + self.suffix)
        count = len(self.times_s) - 1
        bounds = [count * piece // self.pieces for piece in range(self.pieces + 1)]
        data = b""
        for piece, (first, last) in enumerate(pairwise(bounds)):
            self._encode(path, range(first, last), self.start_s + piece * self.piece_jump_s - self.times_s[first])
            data += path.read_bytes()
        path.write_bytes(self.patch(data))
        return path

    def _encode(self, path: Path, numbers: Sequence[int], shift_s: Fraction) -> None:
        with av.open(str(path), "w", format=self.muxer, options=self.muxer_options) as container:
            stream = cast(av.VideoStream, container.add_stream(self.codec, rate=FPS))
            stream.pix_fmt = self.pixel_format
            stream.options = self.options
            stream.codec_context.thread_count = 1
            stream.codec_context.time_base = stream.time_base = self.time_base
            stream.width, stream.height = self._stored(numbers[0]).shape[1::-1]
            if self.sample_aspect_ratio != 1:
                stream.codec_context.sample_aspect_ratio = self.sample_aspect_ratio
            if self.rotation_deg_ccw:
                stream.set_display_rotation(self.rotation_deg_ccw)
            ticks = [round((time + shift_s) / self.time_base) for time in self.times_s]
            for number in numbers:
                frame = av.VideoFrame.from_ndarray(self._stored(number), format="rgb24")
                frame.time_base, frame.pts = self.time_base, ticks[number]
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def _stored(self, number: int) -> np.ndarray:
        picture = np.rot90(self.picture(draw_number(number)), k=-self.rotation_deg_ccw // 90)
        return np.ascontiguousarray(picture)


def constant(num_frames: int = NUM_FRAMES, fps: int = FPS) -> tuple[Fraction, ...]:
    return tuple(Fraction(index, fps) for index in range(num_frames + 1))


def variable() -> tuple[Fraction, ...]:
    """Intervals of 10 ms to 800 ms, in whole centiseconds, which all containers can say."""
    lengths = [(1, 4, 2, 30, 3, 80, 7)[index % 7] for index in range(NUM_FRAMES)]
    return tuple(accumulate((Fraction(length, 100) for length in lengths), initial=Fraction(0)))


X264 = {"preset": "veryfast", "crf": "20", "g": "25"}
X265 = {"preset": "ultrafast", "crf": "20"}
QUIET = "log-level=none:pools=none:frame-threads=1"
MPEG = {"qmin": "2", "qmax": "4", "g": "12"}
MILLISECOND_US = 1_000


def cases() -> Iterator[Case]:
    """All of them, by name."""
    plain = constant()
    yield from _containers(plain)
    yield from _codecs(plain)
    yield from _conditions(plain)


def _containers(plain: tuple[Fraction, ...]) -> Iterator[Case]:
    """H.264 as x264 makes it by default, three B-frames in a row, in each container; VFR where there can be."""
    for suffix, muxer, precision_us in (
        (".mp4", None, 20),
        (".mov", None, 20),
        (".mkv", None, MILLISECOND_US),
        (".ts", None, 20),
        (".m2ts", "mpegts", 20),
        (".flv", None, MILLISECOND_US),
        (".avi", None, 20),
        (".asf", None, MILLISECOND_US),
        (".3gp", None, 20),
        (".nut", None, 20),
        (".ismv", "ismv", 20),
    ):
        base = Fraction(1, FPS) if suffix == ".avi" else Fraction(1, 90_000)
        case = Case(
            f"h264 in {suffix}",
            suffix,
            "libx264",
            X264,
            muxer,
            times_s=plain,
            precision_us=precision_us,
            time_base=base,
        )
        yield case
        if suffix not in (".avi", ".asf"):  # which keep no presentation times of B-frames
            yield Case(
                f"h264 in {suffix}, variable rate",
                suffix,
                "libx264",
                X264,
                muxer,
                times_s=variable(),
                precision_us=precision_us,
            )
    yield Case("h264 alone", ".h264", "libx264", X264 | {"bf": "0"}, times_s=constant(fps=25))
    yield Case(
        "mpeg2 alone", ".m2v", "mpeg2video", MPEG | {"bf": "2"}, "mpeg2video", times_s=plain, time_base=Fraction(1, FPS)
    )


def _codecs(plain: tuple[Fraction, ...]) -> Iterator[Case]:
    hidden = {"deadline": "good", "cpu-used": "5", "b": "1M", "auto-alt-ref": "1", "lag-in-frames": "16"}
    realtime = {"deadline": "realtime", "cpu-used": "8", "b": "1M"}
    for name, suffix, codec, options, pixel_format in (
        ("hevc", ".mp4", "libx265", X265 | {"x265-params": QUIET}, "yuv420p"),
        ("hevc 10 bit", ".mkv", "libx265", X265 | {"x265-params": QUIET}, "yuv420p10le"),
        ("vp8", ".webm", "libvpx", realtime, "yuv420p"),
        ("vp8 with hidden frames", ".webm", "libvpx", hidden, "yuv420p"),
        ("vp9 with hidden frames", ".webm", "libvpx-vp9", hidden, "yuv420p"),
        ("av1", ".mkv", "libsvtav1", {"preset": "10", "crf": "10", "svtav1-params": "lp=1"}, "yuv420p"),
        ("mpeg4", ".mp4", "mpeg4", MPEG, "yuv420p"),
        ("mpeg4 with B-frames", ".mp4", "mpeg4", MPEG | {"bf": "2"}, "yuv420p"),
        ("mpeg4 with B-frames", ".avi", "mpeg4", MPEG | {"bf": "2"}, "yuv420p"),
        ("mpeg2 with B-frames", ".mkv", "mpeg2video", MPEG | {"bf": "2"}, "yuv420p"),
        ("mpeg2 with B-frames", ".mpg", "mpeg2video", MPEG | {"bf": "2"}, "yuv420p"),
        ("mpeg2 with B-frames", ".ts", "mpeg2video", MPEG | {"bf": "2"}, "yuv420p"),
        ("mpeg2 with B-frames", ".mxf", "mpeg2video", MPEG | {"bf": "2"}, "yuv420p"),
        ("mpeg1 with B-frames", ".mpg", "mpeg1video", MPEG | {"bf": "2"}, "yuv420p"),
        ("mjpeg", ".avi", "mjpeg", {"qmin": "2", "qmax": "4"}, "yuvj420p"),
        ("mjpeg", ".mov", "mjpeg", {"qmin": "2", "qmax": "4"}, "yuvj420p"),
        ("ffv1", ".mkv", "ffv1", {}, "yuv420p"),
        ("prores", ".mov", "prores_ks", {}, "yuv422p10le"),
        ("wmv2", ".wmv", "wmv2", MPEG, "yuv420p"),
        ("flv1", ".flv", "flv", MPEG, "yuv420p"),
        ("h263", ".3gp", "h263", MPEG, "yuv420p"),
        ("msmpeg4", ".avi", "msmpeg4", MPEG, "yuv420p"),
        ("huffyuv", ".avi", "huffyuv", {}, "yuv422p"),
        ("cinepak", ".avi", "cinepak", {}, "rgb24"),
        ("raw", ".avi", "rawvideo", {}, "yuv420p"),
        ("png", ".mov", "png", {}, "rgb24"),
    ):  # fmt: skip
        by_ms = suffix in (".mkv", ".webm", ".flv", ".wmv")
        base = (
            Fraction(1, 90_000)
            if suffix in (".mp4", ".mov", ".webm", ".mkv") and codec not in ("mpeg4", "mpeg2video")
            else Fraction(1, FPS)
        )
        yield Case(
            f"{name} in {suffix}",
            suffix,
            codec,
            options,
            pixel_format=pixel_format,
            times_s=plain,
            time_base=base,
            precision_us=MILLISECOND_US if by_ms else 20,
        )
    yield Case("gif", ".gif", "gif", pixel_format="rgb8", times_s=constant(40, 25), time_base=Fraction(1, 100))


def _conditions(plain: tuple[Fraction, ...]) -> Iterator[Case]:
    x264 = ("libx264", X264)
    for suffix in (".mkv", ".mp4", ".ts", ".flv"):
        for start_s in (3, 36_000):
            yield Case(
                f"h264 in {suffix}, starts at {start_s} s",
                suffix,
                *x264,
                times_s=plain,
                start_s=Fraction(start_s),
                precision_us=MILLISECOND_US if suffix in (".mkv", ".flv") else 20,
            )
    yield Case("transport stream whose clock wraps", ".ts", *x264, times_s=plain, start_s=Fraction(2**33, 90_000) - 1)
    fragmented = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    yield Case("fragmented", ".mp4", *x264, muxer_options=fragmented, times_s=plain)
    yield Case("fragmented, starts at 3 s", ".mp4", *x264, muxer_options=fragmented, times_s=plain, start_s=Fraction(3))
    yield Case(
        "edit list hides the first 21 frames",
        ".mp4",
        *x264,
        times_s=plain,
        hidden=21,
        patch=lambda data: _hide(data, 21),
    )
    yield Case(
        "edit list of HEVC hides the first 20 frames",
        ".mp4",
        "libx265",
        X265 | {"x265-params": QUIET},
        times_s=plain,
        hidden=20,
        patch=lambda data: _hide(data, 20),
    )
    yield Case("clock starts again in mid-stream", ".ts", *x264, times_s=plain, pieces=2)
    yield Case("clock jumps ahead in mid-stream", ".ts", *x264, times_s=plain, pieces=2, piece_jump_s=Fraction(5_000))
    yield Case(
        "clock jumps back in mid-stream",
        ".ts",
        *x264,
        times_s=plain,
        start_s=Fraction(9_000),
        pieces=3,
        piece_jump_s=Fraction(-3_000),
    )
    yield Case(
        "program stream whose clock starts again",
        ".mpg",
        "mpeg2video",
        MPEG | {"bf": "2"},
        times_s=plain,
        time_base=Fraction(1, FPS),
        pieces=2,
    )
    open_gop = {"x264-params": "open-gop=1:keyint=15:min-keyint=15:scenecut=0:bframes=3:b-adapt=0"}
    yield Case("open groups of H.264", ".mp4", "libx264", {"preset": "veryfast", "crf": "20"} | open_gop, times_s=plain)
    yield Case("open groups of H.264", ".ts", "libx264", {"preset": "veryfast", "crf": "20"} | open_gop, times_s=plain)
    hevc = f"open-gop=1:keyint=15:min-keyint=15:scenecut=0:bframes=4:b-adapt=0:{QUIET}"
    yield Case(
        "open groups of HEVC",
        ".mp4",
        "libx265",
        {"preset": "ultrafast", "crf": "20", "x265-params": hevc},
        times_s=plain,
    )
    yield Case(
        "open groups of MPEG-2",
        ".mkv",
        "mpeg2video",
        MPEG | {"bf": "2", "flags": "-cgop"},
        times_s=plain,
        time_base=Fraction(1, FPS),
        precision_us=MILLISECOND_US,
    )
    refresh = {"preset": "veryfast", "crf": "18", "x264-params": "intra-refresh=1:keyint=20:bframes=0"}
    yield Case("intra refresh", ".mp4", "libx264", refresh, times_s=plain)
    yield Case("intra refresh", ".ts", "libx264", refresh, times_s=plain)
    yield Case("one key frame", ".mp4", "libx264", X264 | {"g": "1000"}, times_s=plain)
    yield Case("1000 frames a second", ".mp4", *x264, times_s=constant(fps=1000))
    yield Case("1000 frames a second", ".mkv", *x264, times_s=constant(fps=1000))
    for rotation_deg in (90, -90, 180):
        yield Case(f"turned by {rotation_deg} degrees", ".mp4", *x264, times_s=plain, rotation_deg_ccw=rotation_deg)
    yield Case(
        "left and right mirrored",
        ".mp4",
        *x264,
        times_s=plain,
        picture=lambda upright: upright[:, ::-1],
        patch=lambda data: _with_matrix(data, -1, 0, 0, 1),
    )
    yield Case(
        "upside down",
        ".mp4",
        *x264,
        times_s=plain,
        picture=lambda upright: upright[::-1],
        patch=lambda data: _with_matrix(data, 1, 0, 0, -1),
    )
    yield Case(
        "turned and mirrored",
        ".mp4",
        *x264,
        times_s=plain,
        picture=lambda upright: upright.swapaxes(0, 1),
        patch=lambda data: _with_matrix(data, 0, 1, 1, 0),
    )
    yield Case("wide pixels", ".mp4", *x264, times_s=plain, sample_aspect_ratio=Fraction(3, 2))
    yield Case("full range", ".mp4", *x264, pixel_format="yuvj420p", times_s=plain)


def _hide(data: bytes, num_frames: int) -> bytes:
    """Have the edit list of an MP4 start later."""
    at = data.index(b"elst") + 12
    duration, media_time = struct.unpack_from(">Ii", data, at)
    timescale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    moved = struct.pack(">Ii", duration - num_frames * 1000 // FPS, media_time + num_frames * timescale // FPS)
    return data[:at] + moved + data[at + 8 :]


def _with_matrix(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """Give the track of an MP4 a display matrix."""
    at = data.index(b"tkhd") + 44
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    return data[:at] + matrix + data[at + len(matrix) :]
