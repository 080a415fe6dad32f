"""Recordings that are not footage: colour bars, countdown leaders, slideshows and recorded screens, as RGB frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

BARS_RGB = (
    (1, 1, 1),
    (1, 1, 0),
    (0, 1, 1),
    (0, 1, 0),
    (1, 0, 1),
    (1, 0, 0),
    (0, 0, 1),
)
"""White, yellow, cyan, green, magenta, red, blue."""


def colour_bars(height: int, width: int, *, amplitude: float = 0.75, top_frac: float = 1.0) -> np.ndarray:
    """Seven bars over the top of the picture, a ramp from black to white below them."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = np.linspace(0, 255, width).astype(np.uint8)[None, :, None]
    columns = np.arange(width) * len(BARS_RGB) // width
    bars = np.array(BARS_RGB, np.float32)[columns] * 255 * amplitude
    picture[: round(top_frac * height)] = bars.astype(np.uint8)
    return picture


def with_counter(picture: np.ndarray, number: int) -> np.ndarray:
    """White digits on a black box in the middle of the picture's lower half."""
    height, width = picture.shape[:2]
    counted = picture.copy()
    box = slice(height * 55 // 100, height * 80 // 100), slice(width * 35 // 100, width * 65 // 100)
    counted[box] = 0
    scale = height / 240
    origin = int(width * 0.37), int(height * 0.74)
    cv2.putText(counted, f"{number:04d}", origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 2, cv2.LINE_AA)
    return counted


def countdown(
    height: int, width: int, num_frames: int, fps: int, *, first: int = 5, hairs: bool = True
) -> Iterator[np.ndarray]:
    """A film leader: two circles and cross hairs on grey, a new digit every second, and a dark sweep around it."""
    middle, short = (width // 2, height // 2), min(height, width)
    for index in range(num_frames):
        turn = index % fps / fps
        picture = np.full((height, width, 3), 170, np.uint8)
        cv2.ellipse(picture, middle, (2 * width, 2 * width), -90, 0, 360 * turn, (110, 110, 110), -1)
        if hairs:
            cv2.line(picture, (0, middle[1]), (width, middle[1]), (30, 30, 30), max(1, short // 120))
            cv2.line(picture, (middle[0], 0), (middle[0], height), (30, 30, 30), max(1, short // 120))
        for share in (0.62, 0.8):
            cv2.circle(picture, middle, round(share * short / 2), (240, 240, 240), max(2, short // 60), cv2.LINE_AA)
        scale = short / 80
        text = str(max(0, first - index // fps))
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 6)
        origin = middle[0] - w // 2, middle[1] + h // 2
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (15, 15, 15), 6, cv2.LINE_AA)
        yield picture


def slideshow(
    pictures: Sequence[np.ndarray],
    height: int,
    width: int,
    fps: int,
    *,
    hold_s: float = 3.0,
    dissolve_s: float = 0.0,
    zoom: float = 1.0,
    drift_frac: float = 0.0,
) -> Iterator[np.ndarray]:
    """Pictures one after the other, each zoomed to `zoom` and moved sideways by `drift_frac` while it is shown.

    Pictures are scaled beyond the frame where they drift or zoom (the Ken Burns effect).
    """
    hold, fade = round(hold_s * fps), round(dissolve_s * fps)
    for number, picture in enumerate(pictures):
        for index in range(hold):
            frame = _framed(picture, height, width, (index + fade) / hold, zoom, drift_frac)
            left = hold - index
            if left <= fade and number + 1 < len(pictures):
                coming = _framed(pictures[number + 1], height, width, (fade - left) / hold, zoom, drift_frac)
                weight = 1.0 - left / (fade + 1)
                frame = cv2.addWeighted(frame, 1.0 - weight, coming, weight, 0.0)
            yield frame


def _framed(
    picture: np.ndarray, height: int, width: int, progress: float, zoom: float, drift_frac: float
) -> np.ndarray:
    """The part of a picture that is shown when `progress` of its time has passed."""
    scale = max(height / picture.shape[0], width / picture.shape[1]) * (1.0 + abs(drift_frac)) * zoom**progress
    x = picture.shape[1] / 2 + drift_frac * (progress - 0.5) * width / scale
    y = picture.shape[0] / 2
    to_frame = np.array([[scale, 0, width / 2 - scale * x], [0, scale, height / 2 - scale * y]])
    return cv2.warpAffine(picture, to_frame, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def screen_recording(height: int, width: int, num_frames: int, fps: int, seed: int = 0) -> Iterator[np.ndarray]:
    """A desktop: two windows of writing, in which words are typed, a list that scrolls now and then, and a pointer."""
    rng = np.random.default_rng(seed)
    words = ["".join(chr(97 + letter) for letter in rng.integers(0, 26, rng.integers(2, 9))) for _ in range(400)]
    split = int(0.62 * width)
    for index in range(num_frames):
        picture = np.full((height, width, 3), (58, 110, 165), np.uint8)
        typed = words[: 60 + index * 6 // fps]
        _window(picture, (10, 10, split - 10, height - 20), typed, dark=bool(seed % 2))
        scrolled = index // (2 * fps) * 3
        _window(picture, (split + 10, 30, width - 10, height - 40), words[scrolled : scrolled + 90], dark=False)
        angle = 2 * math.pi * min(1.0, (index % (3 * fps)) / fps) / 3
        tip = int(width * (0.5 + 0.2 * math.cos(angle))), int(height * (0.5 + 0.3 * math.sin(angle)))
        arrow = np.array([tip, (tip[0], tip[1] + 14), (tip[0] + 10, tip[1] + 10)])
        cv2.fillPoly(picture, [arrow], (255, 255, 255))
        cv2.polylines(picture, [arrow], True, (0, 0, 0), 1)
        yield picture


def _window(picture: np.ndarray, box: tuple[int, int, int, int], words: Sequence[str], *, dark: bool) -> None:
    """A title bar and lines of words."""
    left, top, right, bottom = box
    paper, ink = ((30, 30, 30), (220, 220, 220)) if dark else ((255, 255, 255), (20, 20, 20))
    cv2.rectangle(picture, (left, top), (right, bottom), paper, -1)
    cv2.rectangle(picture, (left, top), (right, top + 22), (200, 200, 205), -1)
    cv2.rectangle(picture, (left, top), (right, bottom), (90, 90, 90), 1)
    cv2.putText(picture, "untitled", (left + 8, top + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (20, 20, 20), 1, cv2.LINE_AA)
    x, y = left + 8, top + 42
    for word in words:
        length = 9 * len(word) + 8
        if x + length > right:
            x, y = left + 8, y + 18
        if y > bottom - 6:
            return
        cv2.putText(picture, word, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)
        x += length
