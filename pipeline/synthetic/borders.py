"""Borders around pictures: bars, plain colours, gradients and blurred fill-ins, each with the picture's true box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.synthetic.overlays import FONT

STUDIO_BLACK = (0, 0, 0)
SUBTITLE_WIDTH = 0.8
"""Subtitles stay within this share of the frame's width, as in title-safe areas."""
BLUR_FRAC = 0.03
"""Standard deviation of a fill-in's blur, as a share of the frame's longer side."""


@dataclass(frozen=True)
class Border:
    """What surrounds the picture of a (height, width) frame: `depths_px` are top, bottom, left and right.

    `fill`: "plain" in `colour`, "gradient" from `colour` to `other_colour` down the frame, or "blurred", an enlarged
    blurred copy of the picture. `noise_levels` is the standard deviation of grain that changes from frame to frame;
    `subtitle` is written into the lower border.
    """

    depths_px: tuple[int, int, int, int]
    fill: str = "plain"
    colour: tuple[int, int, int] = STUDIO_BLACK
    other_colour: tuple[int, int, int] = STUDIO_BLACK
    noise_levels: float = 0.0
    subtitle: str = ""

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """x, y, width and height of the picture within a frame of this size."""
        top, bottom, left, right = self.depths_px
        return left, top, width - left - right, height - top - bottom


def bordered(
    pictures: Iterable[np.ndarray], border: Border, width: int, height: int, seed: int = 0
) -> Iterator[np.ndarray]:
    """Frames of width x height with each (h, w, 3) uint8 RGB picture, resized, inside the border."""
    rng = np.random.default_rng(seed)
    x, y, w, h = border.box(width, height)
    for picture in pictures:
        frame = _filled(picture, border, width, height)
        if border.noise_levels:
            grain = rng.normal(0, border.noise_levels, (height, width, 1))
            frame = np.clip(frame + grain, 0, 255).astype(np.uint8)
        if border.subtitle:
            _write(frame, border)
        frame[y : y + h, x : x + w] = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)
        yield frame


def _filled(picture: np.ndarray, border: Border, width: int, height: int) -> np.ndarray:
    if border.fill == "plain":
        return np.full((height, width, 3), border.colour, np.uint8)
    if border.fill == "gradient":
        share = np.linspace(0, 1, height)[:, None, None]
        ramp = (1 - share) * np.array(border.colour) + share * np.array(border.other_colour)
        return np.repeat(np.round(ramp), width, 1).astype(np.uint8)
    if border.fill == "blurred":
        return _blurred(picture, width, height)
    raise ValueError(f"no fill {border.fill!r}")


def _blurred(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle of the picture, enlarged until it covers the frame, and blurred."""
    h, w = picture.shape[:2]
    scale = max(width / w, height / h)
    cut_w, cut_h = min(w, round(width / scale)), min(h, round(height / scale))
    x, y = (w - cut_w) // 2, (h - cut_h) // 2
    small = cv2.resize(picture[y : y + cut_h, x : x + cut_w], (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), BLUR_FRAC * max(width, height) / 4)
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def _write(frame: np.ndarray, border: Border) -> None:
    height, width = frame.shape[:2]
    depth = border.depths_px[1]
    (text_w, _), _ = cv2.getTextSize(border.subtitle, FONT, 1.0, 2)
    size = min(0.35 * depth / 22, SUBTITLE_WIDTH * width / text_w)  # a capital of FONT is 22 px high at scale 1
    thickness = max(round(2 * size), 1)
    (text_w, text_h), _ = cv2.getTextSize(border.subtitle, FONT, size, thickness)
    corner = ((width - text_w) // 2, height - (depth - text_h) // 2)
    cv2.putText(frame, border.subtitle, corner, FONT, size, (235, 235, 235), thickness, cv2.LINE_AA)
