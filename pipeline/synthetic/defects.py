"""Files that are broken as downloads are, each with the reason that a probe must give."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from pipeline.synthetic.encode import BITEXACT

EMPTY, NO_STREAM, UNREADABLE, NO_FRAMES = "empty_file", "no_video_stream", "unreadable", "no_frames"
SAMPLE_RATE_HZ = 16_000


def empty(path: Path) -> None:
    """A file of no bytes."""
    path.write_bytes(b"")


def not_a_video(path: Path) -> None:
    """A web page that was saved under a video's name."""
    path.write_text("<!doctype html><title>404</title><p>The video that you asked for is gone.</p>\n" * 40)


def audio_only(path: Path) -> None:
    """Two seconds of a 440 Hz tone, AAC."""
    with av.open(str(path), "w", container_options=BITEXACT) as container:
        stream = cast(av.AudioStream, container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono"))
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
        for start in range(0, len(tone), 1024):
            chunk = tone[None, start : start + 1024].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def no_index(path: Path, whole: Path) -> None:
    """The first half of an mp4, whose index (`moov`) is at the end: it cannot be opened."""
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def header_only(path: Path, whole: Path) -> None:
    """A webm up to its first picture: it opens, names a video stream, and has no frame."""
    path.write_bytes(whole.read_bytes()[: _packet_spans(whole)[0][0]])


def cut_short(path: Path, whole: Path, num_frames: int) -> None:
    """A webm that ends in the middle of a picture; `num_frames` before it are whole."""
    start, size = _packet_spans(whole)[num_frames]
    path.write_bytes(whole.read_bytes()[: start + size // 2])


WITHOUT_SOURCE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "empty.mp4": (EMPTY, empty),
    "not_a_video.mp4": (UNREADABLE, not_a_video),
    "audio_only.mp4": (NO_STREAM, audio_only),
}
"""Defects that need no whole file to start from: name -> (reason, how to write it)."""


def _packet_spans(path: Path) -> list[tuple[int, int]]:
    """Offset and size in bytes of each packet of the video in its file."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
