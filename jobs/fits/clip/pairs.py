"""Frames of synthetic clips with true texts, for fitting the small image-text model.

A text states some of the facts that a single frame shows, and not others. A pair is positive if everything that the
text states is true of the scene; an image of a batch can therefore have several positives.

Shapes: B frames, N texts, F facts.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from PIL import Image

from pipeline.synthetic.render import render_at
from pipeline.synthetic.world import (
    BACKGROUND_COLOURS,
    COLOURS,
    LIGHTS,
    PATTERNS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    detailed_caption,
    draw_scene,
    short_caption,
)

IMAGE_PX = 64
FRAMES_PER_CLIP = 3
HELD_OUT_SEED = 1_000_000_000
"""Clips with this seed or a higher one are never used for fitting."""
ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16)
NONE = "none"
THING_FACTS: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "texture": TEXTURES,
}
PLACE_FACTS: dict[str, tuple[str, ...]] = {
    "background": tuple(BACKGROUND_COLOURS),
    "pattern": PATTERNS,
    "light": tuple(LIGHTS),
}
FACTS: dict[str, tuple[str, ...]] = (
    {f"{name} 1": values for name, values in THING_FACTS.items()}
    | {f"{name} 2": (*values, NONE) for name, values in THING_FACTS.items()}
    | PLACE_FACTS
)
UNSAID = -1
KINDS = ("detailed", "seen", "things", "place", "short", "named")
KIND_WEIGHTS = (4, 2, 1, 1, 2, 1)


def scene_facts(scene: Scene) -> list[int]:
    """Index of each of `FACTS` that a frame of the scene shows."""
    words = [getattr(scene.things[0], name) for name in THING_FACTS]
    words += [getattr(scene.things[1], name) if len(scene.things) > 1 else NONE for name in THING_FACTS]
    words += [getattr(scene, name) for name in PLACE_FACTS]
    return [values.index(word) for values, word in zip(FACTS.values(), words, strict=True)]


def text_of(scene: Scene, kind: str) -> str:
    """A true text of one of `KINDS`; "detailed" and "short" also state what only a video shows (motion, camera)."""
    if kind == "detailed":
        return detailed_caption(scene)
    if kind == "short":
        return short_caption(scene)
    if kind == "named":
        return " and ".join(f"{_a(t.colour)} {t.colour} {t.shape}" for t in scene.things)
    things = " ".join(f"A {t.size} {t.colour} {t.shape} with a {t.texture} surface." for t in scene.things)
    place = f"The background is {scene.pattern} {scene.background} in {scene.light} light."
    return {"things": things, "place": place, "seen": f"{things} {place}"}[kind]


def said_facts(scene: Scene, kind: str) -> list[int]:
    """`scene_facts`, with `UNSAID` for each fact that `text_of` does not state."""
    open_facts = {
        "detailed": set(),
        "seen": set(),
        "things": set(PLACE_FACTS),
        "place": {name for name in FACTS if name not in PLACE_FACTS},
        "short": _not_named(),
        "named": _not_named(),
    }[kind]
    facts = zip(FACTS, scene_facts(scene), strict=True)
    return [UNSAID if name in open_facts else value for name, value in facts]


def one_word_wrong(scene: Scene, kind: str, rng: random.Random) -> Scene:
    """The scene with one change to a fact that a text of this kind states: its text is a hard negative."""
    if kind == "place" or (kind in ("detailed", "seen") and rng.random() < 0.4):
        return with_wrong(scene, rng.choice(list(PLACE_FACTS)), rng)
    return with_wrong(scene, rng.choice(["shape", "colour"] if kind in ("short", "named") else list(THING_FACTS)), rng)


def with_wrong(scene: Scene, name: str, rng: random.Random) -> Scene:
    """The scene with another value of one of `THING_FACTS` (of one object) or `PLACE_FACTS`."""
    if name in PLACE_FACTS:
        place: dict[str, Any] = {name: _other(PLACE_FACTS[name], getattr(scene, name), rng)}
        return replace(scene, **place)
    things = list(scene.things)
    index = rng.randrange(len(things))
    wrong: dict[str, Any] = {name: _other(THING_FACTS[name], getattr(things[index], name), rng)}
    things[index] = replace(things[index], **wrong)
    return replace(scene, things=tuple(things))


def true_pairs(texts_NF: np.ndarray, scenes_BF: np.ndarray) -> np.ndarray:
    """(N, B) bool: everything that the text states is true of the scene."""
    said = texts_NF[:, None, :]
    return ((said == UNSAID) | (said == scenes_BF[None])).all(-1)


def small_frames(scene: Scene, positions: list[float]) -> np.ndarray:
    """Frames rendered at a size and aspect that depend on the seed, then reduced as open_clip's transform does it.

    Returns:
        (T, IMAGE_PX, IMAGE_PX, 3) uint8 RGB.
    """
    rng = random.Random(f"size-{scene.seed}")
    short_px, aspect = rng.randint(96, 200), rng.choice(ASPECTS)
    width, height = round(short_px * max(aspect, 1)), round(short_px * max(1 / aspect, 1))
    frames = render_at(scene, width, height, positions)
    size = (IMAGE_PX, IMAGE_PX)
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BICUBIC)) for f in frames])


def draw_frames(path: Path, seeds: range) -> np.ndarray:
    """Memory-mapped (len(seeds), FRAMES_PER_CLIP, IMAGE_PX, IMAGE_PX, 3) uint8; rendered only if `path` is missing."""
    if path.is_file():
        return np.load(path, mmap_mode="r")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npy")
    shape = (len(seeds), FRAMES_PER_CLIP, IMAGE_PX, IMAGE_PX, 3)
    frames = open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
    for i, seed in enumerate(seeds):
        rng = random.Random(f"times-{seed}")
        frames[i] = small_frames(
            draw_scene(seed), [(k + rng.random()) / FRAMES_PER_CLIP for k in range(FRAMES_PER_CLIP)]
        )
    frames.flush()
    unfinished.rename(path)
    return np.load(path, mmap_mode="r")


def _not_named() -> set[str]:
    return {name for name in FACTS if not name.startswith(("shape", "colour"))}


def _other(values: tuple[str, ...], word: str, rng: random.Random) -> str:
    return rng.choice([value for value in values if value != word])


def _a(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
