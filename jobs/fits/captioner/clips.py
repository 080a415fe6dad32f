"""Synthetic clips for fitting the captioner: rendered once into memory-mapped files, then read in augmented batches.

A clip is rendered at a larger size, degraded a little by JPEG as video encoding would, and reduced by area averaging to
the captioner's few pixels, as decoded footage will be. Each cached clip is used in five versions: unchanged, mirrored,
backwards, both, and with one frame repeated. The words change with the picture, so every label stays true.

A bucket holds clips of one frame size. Clips with a seed of HELD_OUT_SEED or higher are never used for fitting.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np

from pipeline.synthetic.render import object_centres_px, render_at
from pipeline.synthetic.world import (
    BACKGROUND_COLOURS,
    CAMERAS,
    COLOURS,
    DIRECTIONS,
    LIGHTS,
    PATTERNS,
    SHAPES,
    SIZES,
    SPEEDS,
    TEXTURES,
    Scene,
    Thing,
    draw_scene,
)

HELD_OUT_SEED = 1_000_000_000
SEEDS_PER_BUCKET = 10_000_000
UNSEEN_PAIRS = frozenset(
    {
        ("circle", "pink"),
        ("square", "green"),
        ("triangle", "purple"),
        ("star", "white"),
        ("cross", "orange"),
        ("ring", "blue"),
    }
)
"""Pairs of shape and colour that are in no clip of the fit, about one scene in eight: a right caption of such a pair
shows that the network combines what it knows."""
NUM_FRAMES = 8
NUM_SLICES = 4
BUCKETS: dict[str, tuple[int, int]] = {
    "64x64": (64, 64),
    "80x64": (80, 64),
    "80x48": (80, 48),
    "64x80": (64, 80),
    "48x80": (48, 80),
}
"""(width, height) in pixels: square, 4:3, 16:9 and the same in portrait, on the captioner's grid of 16 px."""
TRIM_FRAC = 0.08
"""Up to this share of a clip is cut off at each end, because a detected shot is not always a whole synthetic clip."""
MAX_THINGS = 2

THING_WORDS: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "texture": TEXTURES,
    "direction": ("still", *DIRECTIONS),
    "speed": ("none", *SPEEDS),
    "spin": ("none", "spins"),
}
PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "background": tuple(BACKGROUND_COLOURS),
    "pattern": PATTERNS,
    "light": tuple(LIGHTS),
    "camera": CAMERAS,
    "count": ("1", "2"),
}
MIRRORED = {"left": "right", "right": "left", "pan left": "pan right", "pan right": "pan left"}
BACKWARDS = MIRRORED | {
    "up": "down",
    "down": "up",
    "tilt up": "tilt down",
    "tilt down": "tilt up",
    "zoom in": "zoom out",
    "zoom out": "zoom in",
}


def mirrored(scene: Scene) -> Scene:
    """The scene of this one's clip with left and right exchanged. Captions name objects from left to right."""
    things = [
        replace(t, direction=MIRRORED.get(t.direction, t.direction), centre=(1 - t.centre[0], t.centre[1]))
        for t in reversed(scene.things)
    ]
    return replace(scene, things=tuple(things), camera=MIRRORED.get(scene.camera, scene.camera))


def backwards(scene: Scene) -> Scene:
    """The scene of this one's clip with time reversed."""
    things = [replace(t, direction=BACKWARDS.get(t.direction, t.direction)) for t in scene.things]
    return replace(scene, things=tuple(things), camera=BACKWARDS.get(scene.camera, scene.camera))


def frozen(scene: Scene) -> Scene:
    """The scene of one frame of the clip, repeated: an image, in which nothing moves."""
    things = [replace(t, direction="still", speed="slowly", spins=False) for t in scene.things]
    return replace(scene, things=tuple(things), camera="still")


def words_of_thing(thing: Thing) -> dict[str, str]:
    """The words that a caption uses for an object, by attribute as in `pipeline.synthetic.world.attributes`."""
    still = thing.direction == "still"
    return {
        "shape": thing.shape,
        "colour": thing.colour,
        "size": thing.size,
        "texture": thing.texture,
        "direction": thing.direction,
        "speed": "none" if still else thing.speed,
        "spin": "spins" if thing.spins else "none",
    }


def words_of_place(scene: Scene) -> dict[str, str]:
    """The words that a caption uses for background, light, camera and number of objects."""
    return {
        "background": scene.background,
        "pattern": scene.pattern,
        "light": scene.light,
        "camera": scene.camera,
        "count": str(len(scene.things)),
    }


def draw_clip(seed: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """One clip as a captioner will see it, and the positions of its objects.

    Returns:
        frames (T, H, W, 3) uint8 and centres (S, MAX_THINGS, 2), x and y in pixels; NaN where the scene has fewer
        objects.
    """
    scene, rng = draw_scene(seed), random.Random(f"clip-{seed}")
    scale = rng.choice((2, 3, 4))
    first, last = rng.uniform(0, TRIM_FRAC), 1 - rng.uniform(0, TRIM_FRAC)
    positions = [first + (last - first) * (i + 0.5) / NUM_FRAMES for i in range(NUM_FRAMES)]
    quality = rng.choice((None, 30, 50, 70, 90))
    frames = np.stack(
        [
            cv2.resize(_degraded(frame, quality), (width, height), interpolation=cv2.INTER_AREA)
            for frame in render_at(scene, width * scale, height * scale, positions)
        ]
    )
    at = object_centres_px(scene, width, height, positions)
    centres = np.full((NUM_SLICES, MAX_THINGS, 2), np.nan, np.float32)
    centres[:, : at.shape[1]] = at.reshape(NUM_SLICES, 2, -1, 2).mean(axis=1)
    return frames, centres


def _degraded(frame: np.ndarray, quality: int | None) -> np.ndarray:
    """Block artefacts and colour subsampling, as an encoder makes them; None leaves the frame unchanged."""
    if quality is None:
        return frame
    done, encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


@dataclass(frozen=True)
class Bucket:
    """All cached clips of one frame size: frames (N, T, H, W, 3) uint8, centres (N, S, MAX_THINGS, 2), scenes."""

    frames: np.ndarray
    centres: np.ndarray
    scenes: Sequence[Scene]


def is_unseen(scene: Scene) -> bool:
    """Whether an object has a pair of shape and colour that is left out of the fit."""
    return any((thing.shape, thing.colour) in UNSEEN_PAIRS for thing in scene.things)


def seeds_from(first: int, num_clips: int, *, unseen: bool) -> list[int]:
    """The next seeds, from `first` on, whose scenes have a pair of UNSEEN_PAIRS (`unseen`), or have none."""
    fitting = (seed for seed in count(first) if is_unseen(draw_scene(seed)) is unseen)
    return list(islice(fitting, num_clips))


def open_bucket(folder: Path, name: str, num_clips: int, first_seed: int, *, unseen: bool = False) -> Bucket:
    """Memory-map a bucket of the cache. A bucket that is missing or incomplete is rendered first."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = BUCKETS[name]
    start = first_seed + list(BUCKETS).index(name) * SEEDS_PER_BUCKET
    seeds = seeds_from(start, num_clips, unseen=unseen)
    stem = folder / f"{name}-{start}-{num_clips}{'-unseen' if unseen else ''}"
    frames_path, centres_path = stem.with_suffix(".frames.npy"), stem.with_suffix(".centres.npy")
    if not centres_path.exists():
        shape = (num_clips, NUM_FRAMES, height, width, 3)
        frames = np.lib.format.open_memmap(frames_path, mode="w+", dtype=np.uint8, shape=shape)
        centres = np.empty((num_clips, NUM_SLICES, MAX_THINGS, 2), np.float32)
        for i, seed in enumerate(seeds):
            frames[i], centres[i] = draw_clip(seed, width, height)
        frames.flush()
        np.save(centres_path, centres)
    scenes = [draw_scene(seed) for seed in seeds]
    return Bucket(np.load(frames_path, mmap_mode="r"), np.load(centres_path), scenes)


@dataclass(frozen=True)
class ClipBatch:
    """Equal-size clips: frames (B, T, H, W, 3) uint8, centres (B, S, MAX_THINGS, 2) in pixels, and their scenes."""

    frames: np.ndarray
    centres: np.ndarray
    scenes: list[Scene]


def take_batch(bucket: Bucket, indices: Sequence[int], rng: random.Random, frozen_frac: float) -> ClipBatch:
    """Read clips. Each is mirrored with probability 1/2, reversed with 1/2, and shows one repeated frame with
    `frozen_frac`."""
    frames, centres, scenes = [], [], []
    for i in sorted(indices):
        clip, at, scene = np.array(bucket.frames[i]), bucket.centres[i].copy(), bucket.scenes[i]
        if rng.random() < 0.5:
            clip, at, scene = clip[:, :, ::-1], _mirrored_centres(at, clip.shape[2], scene), mirrored(scene)
        if rng.random() < 0.5:
            clip, at, scene = clip[::-1], at[::-1], backwards(scene)
        if rng.random() < frozen_frac:
            t = rng.randrange(NUM_FRAMES)
            clip, at, scene = (
                np.repeat(clip[t : t + 1], NUM_FRAMES, 0),
                np.repeat(at[t // 2][None], NUM_SLICES, 0),
                frozen(scene),
            )
        frames.append(clip)
        centres.append(at)
        scenes.append(scene)
    return ClipBatch(np.stack(frames), np.stack(centres), scenes)


def without_colour(batch: ClipBatch, rng: random.Random) -> ClipBatch:
    """The clips in grey, by a random mixture of the colour channels, so that no colour can be told from its grey."""
    shares = np.array([rng.expovariate(1) for _ in range(3)], np.float32)
    grey = batch.frames @ (shares / shares.sum())
    return replace(batch, frames=np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=-1))


def _mirrored_centres(centres: np.ndarray, width_px: int, scene: Scene) -> np.ndarray:
    flipped = centres * (-1, 1) + (width_px, 0)
    num_things = len(scene.things)
    return np.concatenate([flipped[:, :num_things][:, ::-1], flipped[:, num_things:]], axis=1)
