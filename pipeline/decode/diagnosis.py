"""Why nothing decodes: such a file is read once more, and what FFmpeg logs is kept; files that decode cost nothing."""

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

from pipeline.decode.sizes import require_readable_size
from pipeline.ingest.failures import MediaError

NUM_PACKETS = 16
"""Packets that are tried; most often all are refused for the same reason."""
STDERR_FD = 2
SIZE_MESSAGE = re.compile(r"Picture size (\d+)x(\d+) is invalid")
"""FFmpeg refuses sides whose product is near 2^31 / 8 before it takes memory (libavutil, av_image_check_size2)."""
CONTEXT = re.compile(r"^(\[[^]]* @ 0x[0-9a-f]+\] *)+")
"""What FFmpeg puts before a message: which of its parts it is from, and an address."""


def refusal(path: str, num_refused: int) -> MediaError:
    """The failure of a file whose video has no frame: `too_large`, `too_small` or `no_frames`, with FFmpeg's last
    message."""
    messages = _messages(path)
    for size in filter(None, map(SIZE_MESSAGE.search, messages)):
        try:
            require_readable_size(int(size[1]), int(size[2]))
        except MediaError as error:
            return error
    return MediaError("no_frames", "; ".join([f"{num_refused} packets refused", *messages[-1:]]))


def _messages(path: str) -> list[str]:
    """What FFmpeg logs about a file at level ERROR, line by line."""
    with tempfile.TemporaryFile() as log:
        with _ffmpeg_writes_to(log.fileno()):
            try:
                with av.open(path) as container:
                    for packet in islice(container.demux(container.streams.best("video")), NUM_PACKETS):
                        try:
                            packet.decode()
                        except av.error.FFmpegError:
                            continue
            except (av.error.FFmpegError, OSError, ValueError):
                pass  # what was logged before is there
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
    return [CONTEXT.sub("", line).strip() for line in lines]


@contextmanager
def _ffmpeg_writes_to(fd: int) -> Iterator[None]:
    """Have FFmpeg write its messages to a file, in place of the standard error that its own code writes to.

    PyAV's own way to receive them takes the interpreter's lock in FFmpeg's threads, and hangs when the thread that
    holds the lock waits for those threads to end.
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
