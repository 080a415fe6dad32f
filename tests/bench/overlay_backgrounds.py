"""Moving pictures without text, as backgrounds for text: textures, synthetic scenes and real footage."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.decode.reader import FrameReader, open_video
from pipeline.synthetic.render import render_at
from pipeline.synthetic.world import draw_scene

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
REAL: dict[str, tuple[tuple[int, int], tuple[float, float, float, float]]] = {
    "dev01_sintel_trailer_letterbox_fades.mp4": ((253, 285), (0, 0.13, 1, 0.74)),
    "dev02_nasa_two_video_streams.mp4": ((0, 150), (0, 0, 1, 1)),
    "dev03_flower_timelapse.mp4": ((0, 150), (0, 0, 1, 1)),
    "dev06_rooftop_portrait_rot90_hevc_editlist.mp4": ((0, 77), (0, 0, 1, 1)),
    "dev07_square_line_animation_60fps.mp4": ((620, 740), (0, 0, 1, 1)),
    "dev09_fireplace_dog_rot180_vfr.mp4": ((0, 25), (0, 0, 1, 1)),
    "dev13_portrait_hdr10_av1.mp4": ((0, 127), (0, 0, 1, 1)),
    "dev14_sintel_10s_subclip.mp4": ((0, 60), (0, 0.13, 1, 0.74)),
}
"""Frames [first, last) of a shot without text, and the part of the picture inside its bars: x, y, w, h as shares."""
TEXTURES = ("clouds", "noise", "checkers", "bricks", "stripes", "leaves", "fence", "pebbles")
MOVES = ("pan", "zoom", "shake", "still")


def texture_clip(
    seed: int, width: int, height: int, times_s: Sequence[float], moves: Sequence[str] = MOVES[:3]
) -> np.ndarray:
    """A texture under a moving camera, (T, H, W, 3) uint8 RGB."""
    rng = random.Random(f"texture-{seed}")
    canvas = _texture(TEXTURES[seed % len(TEXTURES)], seed, 2 * width, 2 * height, height / 360)
    move, way, zoom = rng.choice(list(moves)), rng.uniform(0, 6.28), rng.uniform(0.12, 0.25)
    frames = []
    for time_s in times_s:
        u = time_s / max(times_s[-1], 1e-6)
        scale, shift = 1.0, np.zeros(2)
        if move == "pan":
            shift = 0.4 * (u - 0.5) * np.array([np.cos(way) * width, np.sin(way) * height])
        elif move == "zoom":
            scale = 1 + zoom * (u + 0.5)
        elif move == "shake":
            shift = 0.03 * height * np.array([np.sin(23 * time_s + way), np.sin(31 * time_s)])
        camera = np.array(
            [[scale, 0, width / 2 - scale * width + shift[0]], [0, scale, height / 2 - scale * height + shift[1]]]
        )
        frames.append(
            cv2.warpAffine(canvas, camera, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        )
    return np.stack(frames)


def drawn_clip(seed: int, width: int, height: int, times_s: Sequence[float]) -> np.ndarray:
    """A scene of the synthetic corpus, (T, H, W, 3) uint8 RGB."""
    positions = [t / max(times_s[-1], 1e-6) for t in times_s]
    return np.stack(list(render_at(draw_scene(seed), width, height, positions)))


def real_clip(seed: int, width: int, height: int, times_s: Sequence[float]) -> np.ndarray:
    """A crop of real footage over most of its shot, (T, H, W, 3) uint8 RGB, with `times_s` scaled to the shot's
    length."""
    rng = random.Random(f"real-{seed}")
    names = sorted(REAL)
    name = names[seed % len(names)]
    _, (x, y, w, h) = REAL[name]
    frames = _read(name)
    start = rng.randrange(max(len(frames) // 3, 1))
    picks = [start + round((len(frames) - 1 - start) * t / max(times_s[-1], 1e-6)) for t in times_s]
    size_h, size_w = frames[0].shape[:2]
    x0, y0, box_w, box_h = round(x * size_w), round(y * size_h), round(w * size_w), round(h * size_h)
    crop_w = min(box_w, round(box_h * width / height))
    crop_h = min(box_h, round(crop_w * height / width))
    part = rng.uniform(0.7, 1.0)
    crop_w, crop_h = round(part * crop_w), round(part * crop_h)
    left, top = x0 + rng.randrange(box_w - crop_w + 1), y0 + rng.randrange(box_h - crop_h + 1)
    mirrored = rng.random() < 0.5
    clip = []
    for pick in picks:
        view = frames[pick][top : top + crop_h, left : left + crop_w]
        clip.append(cv2.resize(view[:, ::-1] if mirrored else view, (width, height), interpolation=cv2.INTER_AREA))
    return np.stack(clip)


@cache
def _read(name: str) -> list[np.ndarray]:
    """The frames of the shot, reduced to at most 960 px, not rotated."""
    frames = []
    (first, last), _ = REAL[name]
    container, stream = open_video(str(VIDEOS / name))
    with container:
        for frame in itertools.islice(FrameReader(container, stream), first, last):
            scale = min(1.0, 960 / max(frame.width, frame.height))
            width, height = round(frame.width * scale), round(frame.height * scale)
            frames.append(frame.to_ndarray(format="rgb24", width=width, height=height))
    return frames


def _texture(name: str, seed: int, width: int, height: int, unit: float) -> np.ndarray:
    rng = np.random.default_rng([seed, 7])
    colours = rng.integers(30, 225, (2, 3)).astype(np.float32)
    ys, xs = np.mgrid[:height, :width].astype(np.float32) / max(unit, 0.25)
    pitch = float(rng.uniform(14, 40))
    if name == "clouds":
        clouds = np.stack([_noise(rng, width, height, s * unit) * s for s in (3, 9, 30)]).sum(axis=0)
        share = (clouds - clouds.min()) / np.ptp(clouds)
    elif name == "noise":
        share = _noise(rng, width, height, 1.2 * unit)
    elif name == "checkers":
        share = ((xs // pitch + ys // pitch) % 2).astype(np.float32)
    elif name == "bricks":
        row = ys // (pitch / 2)
        share = np.where((ys % (pitch / 2) < 3) | ((xs + row % 2 * pitch / 2) % pitch < 3), 0.0, 1.0)
        share = share * (0.7 + 0.3 * _noise(rng, width, height, 2 * unit))
    elif name == "stripes":
        share = ((xs * float(rng.uniform(0.3, 1)) + ys * float(rng.uniform(0, 1))) % pitch < pitch / 2).astype(
            np.float32
        )
    elif name == "fence":
        share = np.where(
            (xs % pitch < pitch / 4) | (ys % (4 * pitch) < 4), 1.0, 0.3 * _noise(rng, width, height, 6 * unit)
        )
    else:
        share = np.zeros((height, width), np.float32)
        for _ in range(900 if name == "leaves" else 700):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            axes = (int(rng.integers(6, 22) * unit) + 2, int(rng.integers(3, 9 if name == "leaves" else 20) * unit) + 2)
            cv2.ellipse(
                share, centre, axes, float(rng.integers(180)), 0, 360, float(rng.uniform(0.1, 1)), -1, cv2.LINE_AA
            )
    share = np.asarray(share, np.float32)[..., None]
    return np.clip(colours[0] * (1 - share) + colours[1] * share, 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator, width: int, height: int, grain: float) -> np.ndarray:
    grain = max(grain, 1.0)
    coarse = rng.random((int(height / grain) + 2, int(width / grain) + 2), np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
