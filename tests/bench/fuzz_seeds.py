"""Small intact files to damage: every container, codec and pixel format that this build of FFmpeg can write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np

from pipeline.synthetic import defects
from pipeline.synthetic.assemble import frames
from pipeline.synthetic.encode import BITEXACT, CODEC_OPTIONS, encode, save_image
from pipeline.synthetic.programme import STYLES, frames_per_s, write_script
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene

SHARED = Path(__file__).parents[3] / "shared" / "videos"
NUM_FRAMES, FPS = 12, 12
WIDTH, HEIGHT = 96, 64
NUM_REAL_PACKETS, REAL_BYTES = 16, 100_000
"""Of each stream of a real video this many packets are kept, or fewer if together they exceed this many bytes."""
FOREIGN = {
    "mpeg2.ts": ("mpeg2video", "yuv420p"),
    "h264.ts": ("libx264", "yuv420p"),
    "mpeg2.mpg": ("mpeg2video", "yuv420p"),
    "mpeg4.avi": ("mpeg4", "yuv420p"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "ffv1.mkv": ("ffv1", "yuv444p"),
    "h264_10.mkv": ("libx264", "yuv420p10le"),
    "h264_444.mp4": ("libx264", "yuv444p"),
    "hevc.mp4": ("libx265", "yuv420p"),
    "prores.mov": ("prores_ks", "yuv422p10le"),
    "flv1.flv": ("flv", "yuv420p"),
    "wmv2.wmv": ("wmv2", "yuv420p"),
    "vp9.webm": ("libvpx-vp9", "yuv420p"),
    "animated.gif": ("gif", "rgb8"),
    "animated.webp": ("libwebp", "yuv420p"),
    "animated.apng": ("apng", "rgb24"),
}
"""Formats that the synthetic corpus does not have: file name, encoder and pixel format. Those that this build of FFmpeg
cannot write are left out, and AV1 too, because its encoder SVT-AV1 sets real-time priority for the whole process.
"""
STILLS = ("still.png", "still.jpg", "still.webp", "still.bmp", "still.tif")
PLAYLISTS = {
    "itself.mp4": "ffconcat version 1.0\nfile itself.mp4\n",
    "other.mp4": "ffconcat version 1.0\nfile {other}\nfile {other}\n",
    "list.mp4": "#EXTM3U\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n",
}
"""Text files with a video's file name that refer FFmpeg to other files."""


def make_seeds(folder: Path) -> list[Path]:
    """Write the intact files into a folder: synthetic videos, other formats, and the first packets of real videos."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, style in enumerate(STYLES):
        _drawn(folder / f"{index:02d}_{style.name}{style.encoding.suffix}", index)
    pictures = list(render(draw_scene(5), WIDTH, HEIGHT, NUM_FRAMES))
    for name, (codec, pixel_format) in FOREIGN.items():
        _write_if_possible(folder / name, lambda path, c=codec, f=pixel_format: _foreign(path, pictures, c, f))
    for name in STILLS:
        save_image(folder / name, pictures[0])
    defects.audio_only(folder / "audio_only.mp4")
    for name, text in PLAYLISTS.items():
        (folder / name).write_text(text.format(other="00_cuts.mp4"))
    for path in sorted(SHARED.glob("dev*")) if SHARED.is_dir() else ():
        _write_if_possible(folder / f"real_{path.name}", lambda target, source=path: _beginning(source, target))
    return sorted(folder.iterdir())


def _drawn(path: Path, index: int) -> None:
    """A video in a style of the synthetic corpus, small and short: two shots of a few frames."""
    style = STYLES[index]
    small = replace(style, width=style.width // 4 * 2, height=style.height // 4 * 2, content_box=None, overlays=())
    script = write_script(replace(small, roles=("plain", "plain"), joints=("cut",)), index)
    script = replace(script, shots=tuple(replace(shot, num_frames=NUM_FRAMES // 2) for shot in script.shots))
    encode(path, frames(script), script.times_s(), frames_per_s(script), style.encoding)


def _foreign(path: Path, pictures: list[np.ndarray], codec: str, pixel_format: str) -> None:
    with av.open(str(path), "w", container_options=BITEXACT) as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        stream.time_base = Fraction(1, 25)
        stream.options = {**CODEC_OPTIONS.get(codec, {})}
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _beginning(source: Path, path: Path) -> None:
    """Copy the first packets of each stream of a real file, without decoding them."""
    with av.open(str(source)) as whole, av.open(str(path), "w", container_options=BITEXACT) as container:
        streams = {s.index: container.add_stream_from_template(s) for s in (*whole.streams.video, *whole.streams.audio)}
        written, num_bytes = dict.fromkeys(streams, 0), 0
        for packet in whole.demux([whole.streams[index] for index in streams]):
            if packet.dts is not None and written[packet.stream.index] < NUM_REAL_PACKETS:
                written[packet.stream.index] += 1
                num_bytes += packet.size
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
            if min(written.values()) >= NUM_REAL_PACKETS or num_bytes > REAL_BYTES:
                break


def _write_if_possible(path: Path, write: Callable[[Path], None]) -> None:
    try:
        write(path)
    except (av.error.FFmpegError, ValueError):  # FFmpeg has no such encoder, or the container rejects the stream
        path.unlink(missing_ok=True)
