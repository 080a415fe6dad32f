"""A virtual camera over a still picture: clips whose camera motion is known.

The camera shows a window of a larger picture. Its pose is a centre, a scale and an angle; a view pixel q, measured
from the view's middle, shows the picture at c + R(angle) q / scale. A camera that pans right moves c to the right, so
that the content moves left; one that zooms in raises the scale.

Speeds are given at the picture's edge, as a share of the view's longer side a second: that of all content in pans and
tilts, and in zooms and rolls that of points half the longer side from the middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

MoveKind = Literal[
    "still", "pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out", "roll", "shake", "complex"
]
SHAKE_HZ = (2.3, 3.7, 5.9)
"""Frequencies of a hand's tremor and of steps, in no simple ratio; hand-held shake has its energy below about 8 Hz."""


@dataclass(frozen=True)
class MovingObject:
    """A textured ellipse that crosses the view in front of the picture.

    `area_frac` is its share of the view when all of it is inside, `speed_frac` the share of the longer side that it
    moves a second. It is in the view's middle at half time.
    """

    area_frac: float
    speed_frac: float
    direction_deg: float = 0.0


@dataclass(frozen=True)
class CameraMove:
    """What the camera does, and for how long. `clockwise` is how a roll turns the content."""

    kind: MoveKind
    speed_frac: float = 0.1
    fps: float = 30.0
    duration_s: float = 2.0
    clockwise: bool = True
    noise_sigma: float = 0.0
    moving_object: MovingObject | None = None
    seed: int = 0

    @property
    def num_frames(self) -> int:
        return max(1, round(self.duration_s * self.fps))


@dataclass(frozen=True)
class Pose:
    """Centre in view pixels from the picture's middle, scale over the starting one, angle in radians."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    angle: float = 0.0


def pose_at(move: CameraMove, progress_s: float, long_side_px: int) -> Pose:
    """Where the camera is `progress_s` seconds from the middle of the clip (negative before it)."""
    shift = move.speed_frac * long_side_px * progress_s
    rate = 2.0 * move.speed_frac * progress_s
    match move.kind:
        case "still":
            return Pose()
        case "pan left" | "pan right":
            return Pose(x=shift if move.kind == "pan right" else -shift)
        case "tilt up" | "tilt down":
            return Pose(y=shift if move.kind == "tilt down" else -shift)
        case "zoom in" | "zoom out":
            return Pose(scale=float(np.exp(rate if move.kind == "zoom in" else -rate)))
        case "roll":
            return Pose(angle=-rate if move.clockwise else rate)
        case "shake":
            return _shaken(move, progress_s, long_side_px)
        case "complex":
            return _several(move, shift, rate)


def _shaken(move: CameraMove, progress_s: float, long_side_px: int) -> Pose:
    """Sums of sinusoids with the wanted root mean square speed, half of its square on each axis."""
    phases = np.random.default_rng(move.seed).uniform(0, 2 * np.pi, (2, len(SHAKE_HZ)))
    omega = 2 * np.pi * np.array(SHAKE_HZ)
    amplitude = move.speed_frac * long_side_px / np.sqrt(len(SHAKE_HZ)) / omega
    x, y = (amplitude * np.sin(omega * progress_s + phases)).sum(axis=1)
    return Pose(x=float(x), y=float(y))


def _several(move: CameraMove, shift: float, rate: float) -> Pose:
    """One of three: a slanting pan, a pan with a zoom, or a pan that turns back at half time."""
    way = 1 if move.clockwise else -1
    match move.seed % 3:
        case 0:
            return Pose(x=way * shift, y=shift)
        case 1:
            return Pose(x=way * shift, scale=float(np.exp(rate)))
        case _:
            return Pose(x=way * abs(shift))


def render(picture: np.ndarray, move: CameraMove, width: int, height: int) -> Iterator[np.ndarray]:
    """The clip's frames, (height, width, 3) uint8 RGB.

    Args:
        picture: (H, W, 3) uint8 RGB; the move is around its middle, and the picture is reduced if that lets the move
            fit.
    Raises:
        ValueError: the move would leave the picture even at the smallest size at which it fills the view.
    """
    times_s = (np.arange(move.num_frames) + 0.5) / move.fps - move.num_frames / move.fps / 2
    poses = [pose_at(move, float(t), max(width, height)) for t in times_s]
    zoom = min(_largest_zoom(pose, picture.shape, width, height) for pose in poses)
    if zoom < LEAST_DETAIL:
        raise ValueError(f"{move.kind} at {move.speed_frac:g}/s for {move.duration_s:g} s leaves the picture")
    levels = _pyramid(picture, 1.0 / min(pose.scale for pose in poses) * max(zoom, 1.0))
    zoom = min(zoom, MOST_DETAIL)
    noise = np.random.default_rng(move.seed)
    sprite = _sprite(move, width, height)
    for time_s, pose in zip(times_s, poses, strict=True):
        frame = _view(levels, pose, zoom, width, height)
        if sprite is not None:
            frame = sprite.over(frame, float(time_s))
        if move.noise_sigma:
            frame = cv2.add(frame, noise.normal(0, move.noise_sigma, frame.shape).astype(np.float32), dtype=cv2.CV_8U)
        yield frame


LEAST_DETAIL = 0.5
"""A picture pixel is enlarged to at most two view pixels."""
MOST_DETAIL = 2.0
"""A view pixel covers at most two picture pixels, however large the picture."""


def _largest_zoom(pose: Pose, shape: tuple[int, ...], width: int, height: int) -> float:
    """How many picture pixels one view pixel may cover so that all of the view is inside the picture."""
    corners = np.array([[x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]) * (width, height)
    reach = np.abs(corners @ _rotation(pose.angle).T / pose.scale + (pose.x, pose.y)).max(axis=0)
    return float(min((shape[1] / 2 - 1) / reach[0], (shape[0] / 2 - 1) / reach[1]))


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _pyramid(picture: np.ndarray, coarsest: float) -> list[np.ndarray]:
    """The picture and its halves, so that no view skips pixels."""
    levels = [picture]
    while 2 ** len(levels) <= coarsest and min(levels[-1].shape[:2]) > 16:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return levels


def _view(levels: list[np.ndarray], pose: Pose, zoom: float, width: int, height: int) -> np.ndarray:
    level = int(np.clip(np.floor(np.log2(max(zoom / pose.scale, 1.0))), 0, len(levels) - 1))
    picture = levels[level]
    step = zoom / 2**level
    linear = _rotation(pose.angle) * step / pose.scale
    middle = np.array([pose.x, pose.y]) * step + ((np.array(picture.shape[1::-1]) - 1) / 2)
    offset = middle - linear @ ((width - 1) / 2, (height - 1) / 2)
    matrix = np.column_stack([linear, offset]).astype(np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class _Sprite:
    """A moving object to draw: its colours, its soft mask, and its path through the view."""

    colours: np.ndarray
    mask: np.ndarray
    velocity_px_s: np.ndarray

    def over(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        height, width = frame.shape[:2]
        size = np.array(self.mask.shape[::-1])
        x, y = (np.array([width, height]) - size) / 2 + self.velocity_px_s * time_s
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
        mask = cv2.warpAffine(self.mask, matrix, (width, height))[..., None]
        colours = cv2.warpAffine(self.colours, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        return np.rint(frame * (1 - mask) + colours * mask).astype(np.uint8)


def _sprite(move: CameraMove, width: int, height: int) -> _Sprite | None:
    thing = move.moving_object
    if thing is None:
        return None
    area = thing.area_frac * width * height * 4 / np.pi
    sides = np.sqrt(area * width / height), np.sqrt(area * height / width)
    w, h = (max(8, round(side)) for side in sides)
    rng = np.random.default_rng(move.seed + 1)
    colours = np.stack([_noise(rng, h, w, 3.0) for _ in range(3)], axis=-1).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    mask = np.clip((1 - np.hypot(x, y)) * min(h, w) / 4, 0, 1).astype(np.float32)
    angle = np.deg2rad(thing.direction_deg)
    velocity = thing.speed_frac * max(width, height) * np.array([np.cos(angle), np.sin(angle)])
    return _Sprite(colours, mask, velocity)


Texture = Literal["grain", "clouds", "patches", "checker", "stripes", "dots"]
TEXTURES: tuple[Texture, ...] = ("grain", "clouds", "patches", "checker", "stripes", "dots")


def draw_texture(kind: Texture, width: int, height: int, seed: int = 0) -> np.ndarray:
    """A picture for the camera, (height, width, 3) uint8 RGB: fine noise, noise of all scales, flat patches and so on.

    Checks and stripes have uneven widths and different shades: an even pattern that moves by its period would look like
    one that stands still.
    """
    rng = np.random.default_rng([seed, TEXTURES.index(kind)])
    match kind:
        case "grain":
            luma = _noise(rng, height, width, 2.0)
        case "clouds":
            luma = sum(_noise(rng, height, width, sigma) * sigma**0.5 for sigma in (2.0, 6.0, 18.0, 54.0))
        case "patches":
            luma = np.sign(_noise(rng, height, width, 14.0) - 128) + 0.5 * np.sign(
                _noise(rng, height, width, 5.0) - 128
            )
        case "checker":
            luma = _bands(rng, width)[None, :] * _bands(rng, height)[:, None]
        case "stripes":
            y, x = np.mgrid[0:height, 0:width]
            slanted = _bands(rng, width + height)[(x + y).astype(int)]
            luma = slanted + _bands(rng, width + height)[(x - y + height).astype(int)]
        case "dots":
            luma = _dots(rng, height, width)
    grey = cv2.normalize(np.asarray(luma, np.float32), None, 20, 235, cv2.NORM_MINMAX)  # pyrefly: ignore
    tint = rng.uniform(0.75, 1.0, 3)
    return np.rint(grey[..., None] * tint).astype(np.uint8)


def _noise(rng: np.random.Generator, height: int, width: int, sigma_px: float) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), sigma_px)
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)  # pyrefly: ignore


def _bands(rng: np.random.Generator, length: int) -> np.ndarray:
    """A row of bands of 8 to 40 px, each with its own shade, from -1 to 1, dark and light in turns."""
    widths = rng.integers(8, 40, length // 8 + 1)
    shades = rng.uniform(0.2, 1.0, len(widths)) * np.where(np.arange(len(widths)) % 2, 1, -1)
    return np.repeat(shades, widths)[:length].astype(np.float32)


def _dots(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    luma = np.full((height, width), 90, np.float32)
    for _ in range(height * width // 900):
        centre = int(rng.integers(0, width)), int(rng.integers(0, height))
        cv2.circle(luma, centre, int(rng.integers(3, 12)), float(rng.uniform(0, 255)), -1, cv2.LINE_AA)
    return luma
