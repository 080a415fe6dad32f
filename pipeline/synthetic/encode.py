"""Frames to files through PyAV, one frame in memory at a time; the same frames give the same bytes in every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from PIL import Image

TIME_BASES = {".mp4": Fraction(1, 90_000), ".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000)}
"""The tick of each container: 90 kHz fits every usual frame rate exactly, Matroska always counts milliseconds."""
CODEC_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "libx265": {"preset": "ultrafast", "crf": "22", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "mpeg4": {"qmin": "3", "qmax": "5"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "1M"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "26", "b": "0"},
}
BITEXACT = {"fflags": "+bitexact"}
"""No dates and no random ids in the container, so that a corpus drawn again has the same bytes."""


@dataclass(frozen=True)
class Encoding:
    """How frames are stored. `options` go on top of the codec's in CODEC_OPTIONS.

    `rotation_deg_ccw` is how far a player must turn the picture; it is stored turned the other way.
    `sample_aspect_ratio` above 1 squeezes the stored picture horizontally.
    """

    suffix: str = ".mp4"
    codec: str = "libx264"
    rotation_deg_ccw: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    options: tuple[tuple[str, str], ...] = ()

    @property
    def time_base(self) -> Fraction:
        return TIME_BASES[self.suffix]

    @property
    def codec_name(self) -> str:
        """What a decoder calls the codec."""
        names = {"libx264": "h264", "libx265": "hevc", "libvpx": "vp8", "libvpx-vp9": "vp9"}
        return names.get(self.codec, self.codec)


def encode(
    path: Path, pictures: Iterable[np.ndarray], times_s: Sequence[Fraction], fps: Fraction, encoding: Encoding
) -> None:
    """Encode displayed (H, W, 3) uint8 RGB frames, into the file at `path`.

    Args:
        times_s: when each frame is shown, and at the end when the last one ends.
        fps: the rate to announce in the header.
    """
    with av.open(str(path), "w", container_options=BITEXACT) as container:
        stream = cast(av.VideoStream, container.add_stream(encoding.codec, rate=fps))
        stream.pix_fmt = "yuv420p"
        stream.options = {**CODEC_OPTIONS[encoding.codec], **dict(encoding.options)}
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = stream.time_base = encoding.time_base
        if encoding.sample_aspect_ratio != 1:
            stream.codec_context.sample_aspect_ratio = encoding.sample_aspect_ratio
        if encoding.rotation_deg_ccw:
            stream.set_display_rotation(encoding.rotation_deg_ccw)
        ticks = [round(time / encoding.time_base) for time in times_s]
        lasts = {tick: later - tick for tick, later in pairwise(ticks)}
        for index, picture in enumerate(pictures):
            stored = _stored(picture, encoding)
            if index == 0:
                stream.height, stream.width = stored.shape[:2]
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.time_base = encoding.time_base
            frame.pts = ticks[index]
            _mux(container, stream.encode(frame), lasts)
        _mux(container, stream.encode(None), lasts)


def resized(pictures: Iterable[np.ndarray], width: int, height: int) -> Iterator[np.ndarray]:
    """The same frames at another size."""
    for picture in pictures:
        yield cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def decoded(path: Path) -> Iterator[np.ndarray]:
    """The frames of a file that `encode` wrote, as stored, (H, W, 3) uint8 RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def save_image(path: Path, picture: np.ndarray) -> None:
    """Write one (H, W, 3) uint8 RGB frame as png or jpg, by the suffix."""
    Image.fromarray(picture).save(path, quality=92)


def repeat_packets(source: Path, path: Path, num_times: int, duration_s: Fraction) -> None:
    """Write a video of `duration_s` over again `num_times`, back to back, without decoding it."""
    with av.open(str(path), "w", container_options=BITEXACT) as container:
        with av.open(str(source)) as first:
            stream = container.add_stream_from_template(first.streams.video[0])
        for turn in range(num_times):
            with av.open(str(source)) as again:
                for packet in again.demux(video=0):
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue  # the empty packet that ends a stream
                    shift = round(turn * duration_s / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    container.mux(packet)


def _mux(container: OutputContainer, packets: Iterable[av.Packet], lasts: dict[int, int]) -> None:
    """Write packets, each with its frame's own duration: the encoder gives all the same, so that the end would be
    wrong."""
    for packet in packets:
        packet.duration = lasts[packet.pts or 0]
        container.mux(packet)


def _stored(picture: np.ndarray, encoding: Encoding) -> np.ndarray:
    turned = np.rot90(picture, k=-encoding.rotation_deg_ccw // 90)
    if encoding.sample_aspect_ratio != 1:
        size = (round(turned.shape[1] / encoding.sample_aspect_ratio), turned.shape[0])
        turned = cv2.resize(np.ascontiguousarray(turned), size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(turned)
