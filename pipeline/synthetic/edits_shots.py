"""Shots for composed edits: how a stretch of footage without a cut is shown, one picture at a time.

A shot shows its footage through a window that drifts. The window may be moved aside quickly (a whip pan), something
large may cross it, and flashes may light it. All of these change pictures strongly, and none is a cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

BLUR_SAMPLES = 5
"""Pictures whose mean is a smeared one."""
BLUR_FROM = 0.03
"""Share of the width per frame from which a moving window smears the picture, as a shutter does."""
SHAKE_TURNS = np.array((0.045, 0.13, 0.31))
"""Turns a frame of the waves that make a tremble: about 1, 3 and 8 Hz at 25 frames a second."""
SHAKE_SHARES = np.array((0.6, 0.3, 0.2))


@dataclass(frozen=True)
class Whip:
    """A whip pan: the window moves by `travel` frame widths and heights within frames [first, end) of the shot."""

    first: int
    end: int
    travel: tuple[float, float]


@dataclass(frozen=True)
class Passer:
    """Something large crosses the picture within frames [first, end) of the shot, from left to right or back."""

    first: int
    end: int
    size: float
    """Its height, as a share of the frame's."""
    colour: tuple[int, int, int]
    from_left: bool


@dataclass(frozen=True)
class Flash:
    """Light over frames [first, end) of the shot, `strength` of white at first and less with every frame."""

    first: int
    end: int
    strength: float


@dataclass(frozen=True)
class View:
    """How footage is shown: how far it is zoomed in, where the window starts and drifts, and the colours."""

    zoom: float = 1.0
    start: tuple[float, float] = (0.0, 0.0)
    drift: tuple[float, float] = (0.0, 0.0)
    """Shares of the frame's width and height a frame."""
    speed: float = 1.0
    mirrored: bool = False
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: tuple[int, int, int] = (0, 1, 2)


@dataclass(frozen=True)
class Shake:
    """A camera held by hand: the window trembles by about `strength` of the frame's width."""

    strength: float = 0.0
    seed: int = 0

    def offset(self, frame: int) -> np.ndarray:
        """Where the window is moved to, (2,) shares of the frame's width and height."""
        if not self.strength:
            return np.zeros(2)
        phases = np.random.default_rng(self.seed).uniform(0, 2 * np.pi, (len(SHAKE_TURNS), 2))
        waves = np.sin(2 * np.pi * frame * SHAKE_TURNS[:, None] + phases) * SHAKE_SHARES[:, None]
        return self.strength * waves.sum(axis=0)


@dataclass(frozen=True)
class Look:
    """How all of a film looks: dark (`gamma` above 1), flat (`contrast` below 1, around mid-grey), shaking."""

    gamma: float = 1.0
    contrast: float = 1.0
    shake: Shake = Shake()

    def graded(self, shown: np.ndarray) -> np.ndarray:
        """A picture, (height, width, 3) uint8 RGB, with this tone."""
        if self.gamma == self.contrast == 1.0:
            return shown
        levels = 255 * (np.arange(256) / 255) ** self.gamma
        return cv2.LUT(shown, np.round(128 + self.contrast * (levels - 128)).astype(np.uint8))


@dataclass(frozen=True)
class EditShot:
    """One shot; `footage` numbers its source, `first_frame` is where that starts to play."""

    footage: int
    view: View
    first_frame: int = 0
    whips: tuple[Whip, ...] = ()
    passers: tuple[Passer, ...] = ()
    flashes: tuple[Flash, ...] = ()
    look: Look = Look()


def picture(shot: EditShot, footage: np.ndarray, frame: int, width: int, height: int) -> np.ndarray:
    """The shot's `frame`-th picture, (height, width, 3) uint8 RGB.

    Args:
        footage: (T, h, w, 3) uint8 RGB; it plays forwards and backwards in turns.
    """
    source = footage[_played(shot.first_frame + frame * shot.view.speed, len(footage))]
    here, there = _window(shot, frame), _window(shot, frame + 1)
    samples = BLUR_SAMPLES if np.abs(np.subtract(there, here)).max() >= BLUR_FROM else 1
    views = [
        _shown(source, shot.view, np.add(here, np.subtract(there, here) * k / samples), width, height)
        for k in range(samples)
    ]
    shown = views[0] if samples == 1 else np.mean(views, axis=0).astype(np.uint8)
    gained = shown[..., shot.view.channels] * np.array(shot.view.gains, np.float32)
    shown = np.ascontiguousarray(np.clip(gained, 0, 255).astype(np.uint8))
    for passer in shot.passers:
        _cross(passer, frame, shown)
    for flash in shot.flashes:
        if flash.first <= frame < flash.end:
            light = flash.strength * (flash.end - frame) / (flash.end - flash.first)
            shown = (shown + (255 - shown) * np.float32(light)).astype(np.uint8)
    return shot.look.graded(shown)


def _played(position: float, num_frames: int) -> int:
    """Frame at a position of footage that plays to its end, back again, and so on."""
    turn = max(2 * (num_frames - 1), 1)
    index = int(position) % turn
    return min(index, turn - index)


def _window(shot: EditShot, frame: int) -> tuple[float, float]:
    """Where the window's centre is, in frame widths and heights off the footage's own."""
    x, y = (a + b * frame for a, b in zip(shot.view.start, shot.view.drift, strict=True))
    for whip in shot.whips:
        done = min(max((frame - whip.first) / (whip.end - whip.first), 0.0), 1.0)
        eased = done * done * (3 - 2 * done)
        x, y = x + whip.travel[0] * eased, y + whip.travel[1] * eased
    trembled = shot.look.shake.offset(frame)
    return x + trembled[0], y + trembled[1]


def _shown(source: np.ndarray, view: View, window: np.ndarray, width: int, height: int) -> np.ndarray:
    """What the window shows; beyond its edges footage continues as its mirror image."""
    h, w = source.shape[:2]
    scale = view.zoom * max(width / w, height / h)
    flip = -1.0 if view.mirrored else 1.0
    to_screen = np.array(
        [
            [flip * scale, 0, width / 2 - flip * scale * w / 2 - window[0] * width],
            [0, scale, height / 2 - scale * h / 2 - window[1] * height],
        ]
    )
    return cv2.warpAffine(source, to_screen, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _cross(passer: Passer, frame: int, shown: np.ndarray) -> None:
    if not passer.first <= frame < passer.end:
        return
    height, width = shown.shape[:2]
    axes = round(passer.size * height * 0.4), round(passer.size * height / 2)
    done = (frame - passer.first + 0.5) / (passer.end - passer.first)
    x = round((done if passer.from_left else 1 - done) * (width + 2 * axes[0])) - axes[0]
    cv2.ellipse(shown, (x, height // 2), axes, 0.0, 0.0, 360.0, passer.colour, -1)
    cv2.circle(shown, (x, height // 2 - axes[1] // 2), axes[0] // 3, tuple(c // 3 for c in passer.colour), -1)
