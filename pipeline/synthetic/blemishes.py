"""Pictures degraded in known ways: test input for the technical measures and the tells.

Frames are (H, W, 3) uint8 RGB, or (H, W) where only luma matters; lists of them are videos.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A grey picture with detail at every scale and flat places too, (H, W) uint8, mean about 128.

    Smooth noise in octaves, and a chequered and a striped patch.
    """
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for cell, amplitude in ((128, 40.0), (64, 20.0), (32, 8.0)):
        coarse = rng.standard_normal((height // cell + 3, width // cell + 3)).astype(np.float32)
        picture += amplitude * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    ys, xs = np.mgrid[:height, :width]
    chequered = (xs > 0.6 * width) & (ys < 0.5 * height)
    striped = (xs < 0.3 * width) & (ys > 0.5 * height)
    picture[chequered] += np.where((xs // 11 + ys // 11) % 2, 30.0, -30.0)[chequered]
    picture[striped] += np.where((xs + ys) // 7 % 2, 25.0, -25.0)[striped]
    return np.clip(picture + 128.0, 24.0, 230.0).astype(np.uint8)


def rgb(luma: np.ndarray) -> np.ndarray:
    """A grey picture as (H, W, 3)."""
    return np.repeat(luma[:, :, None], 3, axis=2)


def noisy(picture: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    """Gaussian noise of standard deviation `sigma` in levels, new for every pixel and channel."""
    noise = np.random.default_rng(seed).normal(0.0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def blurred(picture: np.ndarray, sigma_px: float) -> np.ndarray:
    """A Gaussian blur."""
    return cv2.GaussianBlur(picture, (0, 0), sigma_px) if sigma_px else picture


def panned(picture: np.ndarray, num_frames: int, step_px: int) -> list[np.ndarray]:
    """A window that moves over a picture by whole pixels a frame; it is narrower by the whole distance."""
    width = picture.shape[1] - step_px * (num_frames - 1)
    return [np.ascontiguousarray(picture[:, step_px * i : step_px * i + width]) for i in range(num_frames)]


def interlaced(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Weave each two frames into one: even rows of the first, odd rows of the second."""
    woven = []
    for first, second in zip(frames[::2], frames[1::2], strict=True):
        frame = first.copy()
        frame[1::2] = second[1::2]
        woven.append(frame)
    return woven


def repeated(frames: Sequence[np.ndarray], every: int) -> list[np.ndarray]:
    """Show every `every`-th frame twice, as when 24 frames a second are padded to 30."""
    return [frame for i, frame in enumerate(frames) for frame in [frame] * (2 if i % every == every - 1 else 1)]


def frozen(frames: Sequence[np.ndarray], first: int, num_frames: int) -> list[np.ndarray]:
    """Hold frame `first` for `num_frames` frames in place of those that were there."""
    return [frames[first] if first <= i < first + num_frames else frame for i, frame in enumerate(frames)]


def flickering(frames: Sequence[np.ndarray], amplitude: float, period: int = 2) -> list[np.ndarray]:
    """Brightness times 1 + and - `amplitude`, as a square wave of `period` frames."""
    gains = [1 + amplitude * (1 if i % period < period / 2 else -1) for i in range(len(frames))]
    return [_gained(frame, gain) for frame, gain in zip(frames, gains, strict=True)]


def faded(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """From black to full brightness, evenly."""
    return [_gained(frame, i / (len(frames) - 1)) for i, frame in enumerate(frames)]


def _gained(frame: np.ndarray, gain: float) -> np.ndarray:
    return np.clip(np.rint(frame * gain), 0, 255).astype(np.uint8)
