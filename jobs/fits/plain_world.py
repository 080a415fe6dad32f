"""A program that reads the plain part of the synthetic world: one large plain object on a plain ground.

It tells how much of a clip survives a codec or a generative model: what it reads from a reconstruction or a sample is
compared with what is true of the clip.
"""

from __future__ import annotations

import random
from functools import cache

import cv2
import numpy as np

from pipeline.synthetic.render import SPRITE_PX, draw_sprite, render
from pipeline.synthetic.world import BACKGROUND_COLOURS, COLOURS, DIRECTIONS, SHAPES, SIZES, SPEEDS, Scene, Thing

ATTRIBUTES = ("shape", "colour", "direction", "background")
OBJECT_DISTANCE = 40.0
"""Distance in RGB from the ground at which a pixel belongs to the object; the nearest colours are 60 apart."""
STILL_SHARE = 0.08
"""An object that covers less of the frame's side stays still; the slowest covers 0.28."""


def draw_plain_scene(seed: int) -> Scene:
    """A scene of the plain part, chosen from a seed."""
    rng = random.Random(f"plain-{seed}")
    thing = Thing(
        shape=rng.choice(SHAPES),
        colour=rng.choice(sorted(COLOURS)),
        direction=rng.choice(["still", *sorted(DIRECTIONS)]),
        speed=rng.choice(sorted(SPEEDS)),
        centre=(0.5 + rng.uniform(-0.06, 0.06), 0.5 + rng.uniform(-0.06, 0.06)),
    )
    return Scene((thing,), background=rng.choice(sorted(BACKGROUND_COLOURS)), seed=seed)


def true_attributes(scene: Scene) -> dict[str, str]:
    thing = scene.things[0]
    return {
        "shape": thing.shape,
        "colour": thing.colour,
        "direction": thing.direction,
        "background": scene.background,
    }


def read_attributes(clip: np.ndarray) -> dict[str, str]:
    """What a clip shows.

    Args:
        clip: (T, H, W, 3) uint8 RGB.
    """
    height, width = clip.shape[1:3]
    border = np.concatenate([clip[:, 0], clip[:, -1], clip[:, :, 0], clip[:, :, -1]], axis=1).reshape(-1, 3)
    ground = np.median(border, axis=0)
    masks = np.linalg.norm(clip.astype(np.float32) - ground, axis=-1) > OBJECT_DISTANCE
    seen = [t for t in range(len(clip)) if masks[t].sum() >= 8]
    nothing = {"shape": "", "colour": "", "direction": ""}
    background = {"background": _nearest(ground, BACKGROUND_COLOURS)}
    if not seen:
        return nothing | background
    centres = {t: np.argwhere(masks[t]).mean(axis=0)[::-1] for t in seen}
    middle = sorted(seen, key=lambda t: abs(t - len(clip) // 2))[:3]
    inner = [clip[t][cv2.erode(masks[t].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] for t in middle]
    pixels = np.concatenate(inner) if sum(map(len, inner)) else np.concatenate([clip[t][masks[t]] for t in middle])
    scores = {shape: sum(_overlap(masks[t], shape, centres[t], width, height) for t in middle) for shape in SHAPES}
    return {
        "shape": max(scores, key=lambda shape: scores[shape]),
        "colour": _nearest(np.median(pixels, axis=0), COLOURS),
        "direction": _direction(centres[seen[-1]] - centres[seen[0]], width, height),
    } | background


def plain_clips(first_seed: int, number: int) -> tuple[np.ndarray, list[Scene]]:
    """True clips of 9 frames, 64 x 64, as (B, T, H, W, 3) uint8, and their scenes."""
    scenes = [draw_plain_scene(first_seed + i) for i in range(number)]
    return np.stack([render(scene, 64, 64, 9) for scene in scenes]), scenes


def _nearest(colour: np.ndarray, named: dict[str, tuple[int, int, int]]) -> str:
    return min(named, key=lambda name: float(np.linalg.norm(colour - np.array(named[name]))))


def _direction(travel: np.ndarray, width: int, height: int) -> str:
    share = travel / (width, height)
    if np.abs(share).max() < STILL_SHARE:
        return "still"
    if abs(share[0]) > abs(share[1]):
        return "right" if share[0] > 0 else "left"
    return "down" if share[1] > 0 else "up"


def _overlap(mask: np.ndarray, shape: str, centre: np.ndarray, width: int, height: int) -> float:
    """Intersection over union of a mask with a large object of a shape whose visible part has the same centre."""
    small = _shape_mask(shape)
    scale = SIZES["large"] * min(width, height) / (SPRITE_PX * 0.9)
    ys, xs = np.nonzero(small > 127)
    offset = centre - scale * np.array([xs.mean(), ys.mean()])
    to_frame = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    ideal = cv2.warpAffine(small, to_frame, (width, height), flags=cv2.INTER_AREA) > 127
    return float((mask & ideal).sum() / max((mask | ideal).sum(), 1))


@cache
def _shape_mask(shape: str) -> np.ndarray:
    return draw_sprite(Thing(shape, "red"))[..., 3]
