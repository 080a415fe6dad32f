"""Why nothing decodes: the file is read once more with an ear to FFmpeg's remarks, at no cost to files that decode."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import av
import av.error
import av.logging

from pipeline.decode.reader import MediaError, require_bearable_size

NUM_PACKETS = 16
"""So many packets are tried; they are refused for the same reason, most often."""
STDERR_FD = 2
SIZE_REMARK = re.compile(r"Picture size (\d+)x(\d+) is invalid")
"""FFmpeg refuses sides whose product nears 2^31 / 8 before it takes any memory (libavutil, av_image_check_size2)."""
CONTEXT = re.compile(r"^(\[[^]]* @ 0x[0-9a-f]+\] *)+")
"""What FFmpeg puts before a remark: which of its parts speak, and from which addresses."""


def refusal(path: str, num_refused: int) -> MediaError:
    """The failure of a file whose video has no frame: `too_large` or `no_frames`, with what the decoder said last."""
    remarks = _remarks(path)
    for size in filter(None, map(SIZE_REMARK.search, remarks)):
        try:
            require_bearable_size(int(size[1]), int(size[2]))
        except MediaError as error:
            return error
    return MediaError("no_frames", "; ".join([f"{num_refused} packets refused", *remarks[-1:]]))


def _remarks(path: str) -> list[str]:
    """What FFmpeg says of a file at level ERROR, a line each."""
    with tempfile.TemporaryFile() as said:
        with _ffmpeg_writes_to(said.fileno()):
            try:
                with av.open(path) as container:
                    for packet in islice(container.demux(container.streams.best("video")), NUM_PACKETS):
                        try:
                            packet.decode()
                        except av.error.FFmpegError:
                            continue
            except (av.error.FFmpegError, OSError, ValueError):
                pass  # what had been said is there
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    return [CONTEXT.sub("", line).strip() for line in lines]


@contextmanager
def _ffmpeg_writes_to(fd: int) -> Iterator[None]:
    """Have FFmpeg write its remarks to a file, through the standard error that its own code writes to.

    PyAV's way to hear them takes the interpreter's lock from FFmpeg's threads, and waits for ever when the thread that
    holds the lock waits for them to end.
    """
    sys.stderr.flush()
    saved = os.dup(STDERR_FD)
    os.dup2(fd, STDERR_FD)
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)
    try:
        yield
    finally:
        av.logging.set_level(None)  # PyAV's default: silence
        os.dup2(saved, STDERR_FD)
        os.close(saved)
