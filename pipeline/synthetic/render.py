"""Draw a scene as frames: a background canvas and a sprite for each object, all seen through a moving camera.

World coordinates are pixels of the frame at rest. A camera is the 2x3 affine map from world to screen at clip
position u in [0, 1]; objects and background go through the same map, so parallax-free pans, tilts and zooms are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from pipeline.synthetic.world import (
    BACKGROUND_COLOURS,
    COLOURS,
    DIRECTIONS,
    LIGHTS,
    SIZES,
    SPEEDS,
    Scene,
    Thing,
)

PAN_FRAC = 0.45
"""Camera travel during the clip, as a share of the frame side."""
ZOOM = 1.6
MARGIN = 0.35
"""How far the background canvas reaches beyond the frame on each side, as a share of it."""
SPRITE_PX = 256


def render(scene: Scene, width: int, height: int, num_frames: int) -> np.ndarray:
    """Draw `num_frames` evenly spaced frames.

    Returns:
        (T, H, W, 3) uint8 RGB.
    """
    positions = [0.5] if num_frames == 1 else [i / (num_frames - 1) for i in range(num_frames)]
    return np.stack(list(render_at(scene, width, height, positions)))


def render_at(scene: Scene, width: int, height: int, positions: Sequence[float]) -> Iterator[np.ndarray]:
    """Draw one (H, W, 3) uint8 RGB frame per clip position in [0, 1]; frame times need not be even."""
    canvas = _background(scene, width, height)
    sprites = [draw_sprite(thing) for thing in scene.things]
    offset = canvas_to_world(width, height)
    for u in positions:
        camera = camera_map(scene, width, height, u)
        frame = cv2.warpAffine(
            canvas,
            (camera @ offset)[:2],
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        for thing, picture in zip(scene.things, sprites, strict=True):
            _paste(frame, picture, camera @ placement(thing, width, height, u))
        yield frame if scene.light == "bright" else (frame * np.float32(LIGHTS[scene.light])).astype(np.uint8)


def object_centres_px(scene: Scene, width: int, height: int, positions: Sequence[float]) -> np.ndarray:
    """Where each object's centre is on screen at each clip position, (T, num things, 2) as x, y in pixels."""
    middle = np.array([SPRITE_PX / 2, SPRITE_PX / 2, 1.0])
    return np.array(
        [
            [(camera_map(scene, width, height, u) @ placement(t, width, height, u) @ middle)[:2] for t in scene.things]
            for u in positions
        ]
    )


def canvas_to_world(width: int, height: int) -> np.ndarray:
    """Map from pixels of the canvas behind the objects to the world (3x3)."""
    return np.array([[1, 0, -MARGIN * width], [0, 1, -MARGIN * height], [0, 0, 1]])


def camera_map(scene: Scene, width: int, height: int, u: float) -> np.ndarray:
    """World-to-screen map at clip position `u` (3x3)."""
    shift = {
        "pan left": (PAN_FRAC * width, 0.0),
        "pan right": (-PAN_FRAC * width, 0.0),
        "tilt up": (0.0, PAN_FRAC * height),
        "tilt down": (0.0, -PAN_FRAC * height),
    }.get(scene.camera, (0.0, 0.0))
    dx, dy = (s * (u - 0.5) for s in shift)
    if scene.camera == "shake":
        phase = scene.seed % 7
        short = min(width, height)
        dx = 0.05 * short * math.sin(41.0 * u + phase)
        dy = 0.05 * short * math.sin(53.0 * u + 2.0 * phase)
    zoom = {"zoom in": ZOOM**u, "zoom out": ZOOM ** (1 - u)}.get(scene.camera, 1.0)
    cx, cy = width / 2, height / 2
    return np.array([[zoom, 0, cx - zoom * cx + dx], [0, zoom, cy - zoom * cy + dy], [0, 0, 1]])


def placement(thing: Thing, width: int, height: int, u: float) -> np.ndarray:
    """Sprite-to-world map at clip position `u` (3x3)."""
    ux, uy = DIRECTIONS.get(thing.direction, (0.0, 0.0))
    travel = SPEEDS[thing.speed] * (u - 0.5)
    x = (thing.centre[0] + ux * travel) * width
    y = (thing.centre[1] + uy * travel) * height
    angle = 2 * math.pi * 0.5 * u if thing.spins else 0.0
    scale = SIZES[thing.size] * min(width, height) / (SPRITE_PX * 0.9)
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    half = SPRITE_PX / 2
    return np.array([[c, -s, x - c * half + s * half], [s, c, y - s * half - c * half], [0, 0, 1]])


def _paste(frame: np.ndarray, sprite: np.ndarray, to_screen: np.ndarray) -> None:
    """Blend an RGBA sprite into `frame`, touching only its bounding box."""
    height, width = frame.shape[:2]
    corners = to_screen @ np.array([[0, SPRITE_PX, SPRITE_PX, 0], [0, 0, SPRITE_PX, SPRITE_PX], [1, 1, 1, 1]])
    x0, y0 = np.maximum(np.floor(corners[:2].min(axis=1)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners[:2].max(axis=1)).astype(int), (width, height))
    if x0 >= x1 or y0 >= y1:
        return
    local = to_screen.copy()
    local[:2, 2] -= (x0, y0)
    shrink = math.hypot(to_screen[0, 0], to_screen[1, 0])
    source = sprite if shrink > 0.5 else cv2.resize(sprite, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    local[:, :2] *= SPRITE_PX / source.shape[0]
    patch = cv2.warpAffine(source, local[:2], (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
    alpha = patch[..., 3:].astype(np.float32) / 255
    region = frame[y0:y1, x0:x1]
    region[:] = (region * (1 - alpha) + patch[..., :3] * alpha + 0.5).astype(np.uint8)


def draw_sprite(thing: Thing) -> np.ndarray:
    """(SPRITE_PX, SPRITE_PX, 4) uint8 RGBA picture of an object, 90% of the sprite across."""
    n = SPRITE_PX
    mask = np.zeros((n, n), np.uint8)
    centre, radius = n / 2, 0.45 * n
    if thing.shape in ("circle", "ring"):
        cv2.circle(mask, (n // 2, n // 2), int(radius), 255, -1, cv2.LINE_AA)
        if thing.shape == "ring":
            cv2.circle(mask, (n // 2, n // 2), int(radius * 0.5), 0, -1, cv2.LINE_AA)
    else:
        points = np.round((centre + radius * _outline(thing.shape)) * 16).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, shift=4)
    rgb = np.empty((n, n, 3), np.uint8)
    rgb[:] = COLOURS[thing.colour]
    ys, xs = np.mgrid[:n, :n]
    if thing.texture == "striped":
        rgb[(xs // (n // 10)) % 2 == 1] //= 3
    elif thing.texture == "dotted":
        pitch = n // 6
        rgb[(xs % pitch - pitch / 2) ** 2 + (ys % pitch - pitch / 2) ** 2 < (0.3 * pitch) ** 2] //= 3
    return np.dstack([rgb, mask])


def _outline(shape: str) -> np.ndarray:
    """Corner points of a shape in the unit circle, (N, 2)."""
    if shape == "square":
        return 0.88 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    if shape == "triangle":
        return np.array([[0, -1.0], [0.95, 0.75], [-0.95, 0.75]])
    if shape == "cross":
        a = 0.33
        return np.array(
            [
                [-a, -1],
                [a, -1],
                [a, -a],
                [1, -a],
                [1, a],
                [a, a],
                [a, 1],
                [-a, 1],
                [-a, a],
                [-1, a],
                [-1, -a],
                [-a, -a],
            ]
        )
    if shape == "star":
        angles = np.arange(10) * math.pi / 5 - math.pi / 2
        return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]
    raise ValueError(f"no outline for shape {shape!r}")


def _background(scene: Scene, width: int, height: int) -> np.ndarray:
    """The canvas behind the objects, larger than the frame by MARGIN on each side, (H', W', 3) uint8."""
    if scene.pattern == "speckled":
        h, w = _canvas_size(width, height)
        cells = speckle_cells(scene.seed, width, height).astype(np.uint8)
        gain = np.where(cv2.resize(cells, (w, h), interpolation=cv2.INTER_NEAREST) > 0, 1.45, 0.85)
    else:
        gain = background_gain(scene.pattern, width, height)
    base = np.array(BACKGROUND_COLOURS[scene.background], np.float32)
    return np.clip(base * gain[..., None].astype(np.float32), 0, 255).astype(np.uint8)


def background_gain(pattern: str, width: int, height: int) -> np.ndarray:
    """How bright the canvas is at each place, for the patterns that no seed changes, (H', W') float32."""
    h, w = _canvas_size(width, height)
    ys, xs = np.mgrid[:h, :w].astype(np.float32)
    cell = _cell_px(width, height)
    if pattern == "plain":
        return np.ones((h, w), np.float32)
    if pattern == "gradient":
        return 0.55 + 0.8 * ys / h
    if pattern == "checkered":
        return np.where((xs // cell + ys // cell) % 2 > 0, 1.25, 0.75).astype(np.float32)
    if pattern == "striped":
        return np.where(((xs + ys) // cell) % 2 > 0, 1.25, 0.75).astype(np.float32)
    raise ValueError(f"unknown background pattern {pattern!r}")


def speckle_cells(seed: int, width: int, height: int) -> np.ndarray:
    """Which of the speckles' cells on the canvas are bright, (rows, columns) bool."""
    h, w = _canvas_size(width, height)
    cell = _cell_px(width, height)
    rng = np.random.default_rng(seed)
    return rng.random((max(int(h / cell * 3), 2), max(int(w / cell * 3), 2)), np.float32) > 0.72


def _canvas_size(width: int, height: int) -> tuple[int, int]:
    """Height and width of the canvas."""
    return round(height * (1 + 2 * MARGIN)), round(width * (1 + 2 * MARGIN))


def _cell_px(width: int, height: int) -> float:
    return max(min(width, height) / 7, 2.0)
