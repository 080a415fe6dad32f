"""What scenes consist of, how one is chosen from a seed, and the sentences that are true of it.

A scene is a handful of words (shape, colour, motion, camera, ...). The same words give the picture
(`render.py`), the short and the detailed caption, and the attribute table that a caption is scored against,
so every label is true by construction.
"""

from __future__ import annotations

import random
import re
from dataclasses import asdict, dataclass

from schemas.structured_caption import StructuredCaption, text_of

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 225, 50),
    "green": (50, 170, 60),
    "blue": (45, 85, 220),
    "purple": (140, 60, 190),
    "pink": (245, 150, 195),
    "white": (245, 245, 245),
}
BACKGROUND_COLOURS: dict[str, tuple[int, int, int]] = {
    "grey": (128, 128, 128),
    "black": (28, 28, 28),
    "brown": (112, 74, 44),
    "teal": (20, 110, 115),
    "beige": (205, 190, 155),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
TEXTURES = ("plain", "striped", "dotted")
SIZES = {"small": 0.26, "large": 0.46}
"""Object diameter as a share of the frame's shorter side."""
DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
SPEEDS = {"slowly": 0.28, "quickly": 0.66}
"""Distance covered during the clip, as a share of the frame side along the motion."""
PATTERNS = ("plain", "gradient", "checkered", "striped", "speckled")
TEXTURED_PATTERNS = ("checkered", "striped", "speckled")
LIGHTS = {"bright": 1.0, "dim": 0.5}
CAMERAS = (
    "still",
    "pan left",
    "pan right",
    "tilt up",
    "tilt down",
    "zoom in",
    "zoom out",
    "shake",
)
CAMERA_SENTENCES = {
    "still": "The camera is still.",
    "pan left": "The camera pans left.",
    "pan right": "The camera pans right.",
    "tilt up": "The camera tilts up.",
    "tilt down": "The camera tilts down.",
    "zoom in": "The camera zooms in.",
    "zoom out": "The camera zooms out.",
    "shake": "The camera shakes.",
}


@dataclass(frozen=True)
class Thing:
    """One object. `centre` is its place half-way through the clip, as shares of width and height."""

    shape: str
    colour: str
    size: str = "large"
    texture: str = "plain"
    direction: str = "still"
    speed: str = "slowly"
    spins: bool = False
    centre: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class Scene:
    """Everything that a clip shows; `seed` fixes what the words leave open (speckles, shake, tilt of stripes)."""

    things: tuple[Thing, ...]
    background: str = "grey"
    pattern: str = "plain"
    light: str = "bright"
    camera: str = "still"
    seed: int = 0

    def as_dict(self) -> dict:
        return asdict(self)


def draw_scene(seed: int, *, num_things: int | None = None) -> Scene:
    """Choose a scene from a seed.

    If the camera travels or zooms, the background is textured and the objects stay in place, so that the motion in the
    picture has one cause and the caption one meaning.
    """
    rng = random.Random(f"scene-{seed}")
    camera = "still" if rng.random() < 0.45 else rng.choice(CAMERAS[1:])
    travels = camera not in ("still", "shake")
    if num_things is None:
        num_things = 2 if rng.random() < 0.15 else 1
    colours = rng.sample(sorted(COLOURS), num_things)
    things = tuple(_draw_thing(rng, colours[i], i, num_things, may_move=not travels) for i in range(num_things))
    return Scene(
        things=things,
        background=rng.choice(sorted(BACKGROUND_COLOURS)),
        pattern=rng.choice(TEXTURED_PATTERNS if camera != "still" else PATTERNS),
        light="dim" if rng.random() < 0.25 else "bright",
        camera=camera,
        seed=seed,
    )


def _draw_thing(rng: random.Random, colour: str, index: int, num_things: int, *, may_move: bool) -> Thing:
    moves = may_move and rng.random() < 0.8
    column = (index + 0.5) / num_things
    spread = 0.12 / num_things
    shape, texture = rng.choice(SHAPES), rng.choice(TEXTURES)
    spin_shows = shape not in ("circle", "ring") or texture != "plain"
    return Thing(
        shape=shape,
        colour=colour,
        size=rng.choice(sorted(SIZES)) if num_things == 1 else "small",
        texture=texture,
        direction=rng.choice(sorted(DIRECTIONS)) if moves else "still",
        speed=rng.choice(sorted(SPEEDS)) if num_things == 1 else "slowly",
        spins=spin_shows and rng.random() < 0.25,
        centre=(column + rng.uniform(-spread, spread), 0.5 + rng.uniform(-0.12, 0.12)),
    )


def short_caption(scene: Scene) -> str:
    """One clause an object: colour, shape, motion. For example `a red circle moves left`."""
    return " and ".join(f"a{_an(t.colour)} {t.colour} {t.shape} {_short_motion(t)}" for t in scene.things)


def detailed_caption(scene: Scene) -> str:
    """Full sentences on objects, background, light and camera."""
    return text_of(structured_caption(scene), "detailed")


def structured_caption(scene: Scene) -> StructuredCaption:
    """The same facts field by field; its detailed text is `detailed_caption`."""
    first, *others = scene.things
    also = "".join(f". {_named(thing)} {_long_motion(thing)}" for thing in others)
    return StructuredCaption(
        subject=_named(first),
        action=_long_motion(first) + also,
        setting=f"The background is {scene.pattern} {scene.background} in {scene.light} light.",
        camera=CAMERA_SENTENCES[scene.camera],
        light=f"{scene.light} light",
    )


def _named(thing: Thing) -> str:
    return f"A {thing.size} {thing.colour} {thing.shape} with a {thing.texture} surface"


_OBJECT = re.compile(
    r"An? (?P<size>\w+) (?P<colour>\w+) (?P<shape>\w+) with a (?P<texture>\w+) surface"
    r"(?P<motion> (?:stays still|moves (?P<speed>\w+) (?:to the )?(?P<direction>left|right|up|down))"
    r"(?P<spin> and spins)?)?\."
)
_PLACE = re.compile(r"The background is (?P<pattern>\w+) (?P<background>\w+) in (?P<light>\w+) light\.")


def attributes(caption: str) -> dict[str, str]:
    """Read the attributes back out of a detailed caption, the first object's first.

    A caption is scored by comparing its attributes with those of the true caption; what a caption does not say is
    absent.
    """
    found: dict[str, str] = {}
    objects = list(_OBJECT.finditer(caption))
    if objects:
        words = objects[0].groupdict()
        found |= {name: words[name] for name in ("shape", "colour", "size", "texture")}
        if words["motion"]:
            found["direction"] = words["direction"] or "still"
            found["speed"] = words["speed"] or "none"
            found["spin"] = "spins" if words["spin"] else "none"
        found["count"] = str(len(objects))
    if place := _PLACE.search(caption):
        found |= place.groupdict()
    cameras = [name for name, sentence in CAMERA_SENTENCES.items() if sentence in caption]
    return found | ({"camera": cameras[0]} if cameras else {})


def _an(word: str) -> str:
    return "n" if word[0] in "aeiou" else ""


def _short_motion(thing: Thing) -> str:
    if thing.direction != "still":
        return f"moves {thing.direction}"
    return "spins" if thing.spins else "stays still"


def _long_motion(thing: Thing) -> str:
    if thing.direction == "still":
        motion = "stays still"
    elif thing.direction in ("left", "right"):
        motion = f"moves {thing.speed} to the {thing.direction}"
    else:
        motion = f"moves {thing.speed} {thing.direction}"
    return motion + (" and spins" if thing.spins else "")
