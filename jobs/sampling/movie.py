"""Writes sampled frames: H.264 in mp4, or one frame as png. A file is written under a temporary name, then renamed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from PIL import Image

from schemas.errors import UsageError

QUALITY = {"crf": "16", "preset": "medium"}
"""Visually lossless, so that all visible faults are the model's."""
MAX_DENOMINATOR = 1001


def check_target(path: Path, num_frames: int) -> None:
    """Check that `path` can be written and that its format can have `num_frames` frames.

    Raises:
        UsageError: another file type than mp4 or png, several frames for a png, or a folder that cannot be written.
    """
    if path.suffix not in (".mp4", ".png"):
        raise UsageError(f"-o {path}: the name must end in .mp4 or .png")
    if path.suffix == ".png" and num_frames != 1:
        raise UsageError(f"-o {path}: a png has one frame, not {num_frames}; leave out --seconds")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(path)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise UsageError(f"-o {path}: cannot be written: {error}") from error


def write_frames(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write (T, H, W, 3) uint8 RGB frames in the format of the file name."""
    partial = _partial(path)
    if path.suffix == ".png":
        Image.fromarray(frames[0]).save(partial, format="png")
    else:
        _write_mp4(partial, frames, fps)
    partial.replace(path)


def _write_mp4(path: Path, frames: np.ndarray, fps: float) -> None:
    height, width = frames.shape[1:3]
    with av.open(str(path), "w", format="mp4") as container:
        stream = cast(av.VideoStream, container.add_stream("libx264", Fraction(fps).limit_denominator(MAX_DENOMINATOR)))
        stream.width, stream.height = width, height
        # 4:2:0, which every player supports, halves both sides of colour; odd sizes need 4:4:4.
        stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        stream.options = dict(QUALITY)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
