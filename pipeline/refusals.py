"""Why nothing decodes: the file is read once more with an ear to FFmpeg's remarks, at no cost to files that decode."""

from __future__ import annotations

import re
from itertools import islice

import av
import av.error
import av.logging

from pipeline.media import MediaError, require_bearable_size

NUM_PACKETS = 16
"""So many packets are tried; they are refused for the same reason, most often."""
SIZE_REMARK = re.compile(r"Picture size (\d+)x(\d+) is invalid")
"""FFmpeg refuses sides whose product nears 2^31 / 8 before it takes any memory (libavutil, av_image_check_size2)."""


def refusal(path: str, num_refused: int) -> MediaError:
    """The failure of a file whose video has no frame: `too_large` or `no_frames`, with what the decoder said last."""
    remarks = _remarks(path)
    for size in filter(None, map(SIZE_REMARK.match, remarks)):
        try:
            require_bearable_size(int(size[1]), int(size[2]))
        except MediaError as error:
            return error
    return MediaError("no_frames", "; ".join([f"{num_refused} packets refused", *remarks[-1:]]))


def _remarks(path: str) -> list[str]:
    """What FFmpeg says of a file at level ERROR, a line each."""
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # or what an earlier file made FFmpeg say comes now, as a repetition
    try:
        with av.logging.Capture() as logs, av.open(path) as container:
            packets = container.demux(container.streams.best("video"))
            for packet in islice(packets, NUM_PACKETS):
                try:
                    packet.decode()
                except av.error.FFmpegError:
                    continue
    except (av.error.FFmpegError, OSError, ValueError):
        pass  # what had been said is there
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])
    return [" ".join(text.split()) for _, _, text in logs]
