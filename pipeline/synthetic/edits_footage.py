"""Footage for composed edits: stretches of real files without a cut, and synthetic scenes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.decode.orientation import Orientation
from pipeline.decode.reader import FrameReader, open_video
from pipeline.synthetic.programme import HELD_OUT_SEED
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene

LONG_SIDE_PX = 400
SYNTHETIC_SIZE = (400, 225)
SYNTHETIC_FRAMES = 96


@dataclass(frozen=True)
class Stretches:
    """Ranges [first, end) of frames of a file's best video stream, turned upright by `rotation_deg`."""

    file: str
    ranges: tuple[tuple[int, int], ...]
    rotation_deg: int = 0


def read_stretches(folder: Path, stretches: Stretches) -> list[np.ndarray]:
    """The frames of each range, (T, h, w, 3) uint8 RGB, the longer side reduced to LONG_SIDE_PX.

    Raises:
        MediaError: the file cannot be read.
        ValueError: it ends before a range does.
    """
    container, stream = open_video(str(folder / stretches.file))
    found: list[list[np.ndarray]] = [[] for _ in stretches.ranges]
    with container:
        for index, frame in enumerate(FrameReader(container, stream)):
            for frames, (first, end) in zip(found, stretches.ranges, strict=True):
                if first <= index < end:
                    frames.append(
                        _reduced(frame.to_ndarray(format="rgb24"), Orientation.turned(stretches.rotation_deg))
                    )
            if index >= max(end for _, end in stretches.ranges):
                break
    for frames, (first, end) in zip(found, stretches.ranges, strict=True):
        if len(frames) != end - first:
            raise ValueError(f"{stretches.file}: frames {first} to {end} are not all there")
    return [np.stack(frames) for frames in found]


def draw_footage(seed: int) -> np.ndarray:
    """A synthetic scene that moves, (T, h, w, 3) uint8 RGB."""
    scene = draw_scene(HELD_OUT_SEED + random.Random(f"footage-{seed}").randrange(HELD_OUT_SEED))
    return render(scene, *SYNTHETIC_SIZE, SYNTHETIC_FRAMES)


def _reduced(picture: np.ndarray, orientation: Orientation) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, LONG_SIDE_PX / max(height, width))
    size = round(width * scale), round(height * scale)
    return np.ascontiguousarray(orientation.upright(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)))
