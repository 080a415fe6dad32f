"""Texts about a synthetic clip: a prompt that asks for it, a title that came with it, and a caption that takes over
what only the title says. All are true by construction, or false on purpose.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from pipeline.synthetic.world import COLOURS, SHAPES, Scene, Thing, detailed_caption

NAMES = ("Rollo", "Mimi", "Bruno", "Pia", "Otto", "Luna", "Fritz", "Nora", "Hugo", "Ida", "Milo", "Vera")
PLACES = ("Oslo", "Lima", "Kyoto", "Cairo", "Porto", "Accra", "Quito", "Perth", "Delhi", "Turin")
NOISE = ("IMG_2034.MOV", "untitled", "4K stock footage, free download", "final_v2_export", "DSC_0815", "must watch!!!")
TitleKind = Literal["named", "placed", "true", "false", "false name", "noise"]
TITLE_KINDS: tuple[TitleKind, ...] = ("named", "placed", "true", "false", "false name", "noise")


@dataclass(frozen=True)
class Prompt:
    """A short prompt and the attributes that it asks for, as `pipeline.synthetic.world.attributes` names them."""

    text: str
    asked: dict[str, str]


def short_prompt(scene: Scene, rng: random.Random) -> Prompt:
    """Ask for a scene in a few words, with some of its attributes left open."""
    thing = scene.things[0]
    asked = {"shape": thing.shape}
    words = [thing.shape]
    for name, share in (("texture", 0.2), ("colour", 0.85), ("size", 0.3)):
        if rng.random() < share:
            asked[name] = getattr(thing, name)
            words.insert(0, asked[name])
    text = " ".join(words)
    if rng.random() < 0.6:
        text = ("an " if text[0] in "aeiou" else "a ") + text
    if rng.random() < 0.6:
        asked["direction"] = thing.direction
        text += " " + rng.choice(_MOTIONS["still" if thing.direction == "still" else "moves"]).format(thing.direction)
    for share, add in ((0.3, _background), (0.3, _camera)):
        if rng.random() < share:
            more, name, value = add(scene, rng)
            text, asked[name] = f"{text}{more}", value
    return Prompt(text, asked)


_MOTIONS = {"moves": ("moving {}", "moves {}", "going {}", "{}"), "still": ("standing still", "still", "stays still")}
_CAMERA_WORDS = {
    "still": ("static camera", "the camera is still"),
    "shake": ("shaky camera", "handheld", "the camera shakes"),
    "pan left": ("pan left", "camera pans left"),
    "pan right": ("pan right", "camera pans right"),
    "tilt up": ("tilt up", "camera tilts up"),
    "tilt down": ("tilt down", "camera tilts down"),
    "zoom in": ("zoom in", "camera zooms in"),
    "zoom out": ("zoom out", "camera zooms out"),
}


def _background(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    colour = scene.background
    return rng.choice((f" on {colour}", f" on a {colour} background", f", {colour} background")), "background", colour


def _camera(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    return ", " + rng.choice(_CAMERA_WORDS[scene.camera]), "camera", scene.camera


@dataclass(frozen=True)
class Title:
    """Text that came with a clip, and the sentence that may be taken over from it, empty if none."""

    text: str
    kind: TitleKind
    adds: str = ""


def made_up_name(rng: random.Random) -> str:
    """A name that is in no list, so that a model can only have it by copying."""
    syllables = [rng.choice("bdfgklmnprstvz") + rng.choice(("a", "e", "i", "o", "u")) for _ in range(rng.randint(2, 3))]
    return "".join([*syllables, rng.choice(("", "", "n", "s", "r"))]).capitalize()


def title(scene: Scene, kind: TitleKind, rng: random.Random, *, made_up: bool = False) -> Title:
    """A title of a kind; a false one is about an object that the scene does not have.

    Args:
        made_up: use new names of objects and places instead of `NAMES` and `PLACES`.
    """
    thing = scene.things[0]
    if kind == "noise":
        return Title(rng.choice(NOISE), kind)
    if kind == "placed":
        place = made_up_name(rng) if made_up else rng.choice(PLACES)
        text = rng.choice((f"Filmed in {place}", f"{place}, {rng.randint(1990, 2025)}", f"One day in {place}"))
        return Title(text, kind, f"It was filmed in {place}.")
    if kind in ("true", "named"):
        if kind == "true":
            return Title(f"a {thing.colour} {thing.shape} {_going(thing)}", kind)
        name = made_up_name(rng) if made_up else rng.choice(NAMES)
        return Title(f"{name} the {thing.colour} {thing.shape}", kind, f"The {thing.shape} is called {name}.")
    other = _other_thing(scene, rng)
    if kind == "false":
        return Title(f"a {other.colour} {other.shape} {_going(other)}", kind)
    name = made_up_name(rng) if made_up else rng.choice(NAMES)
    return Title(f"{name} the {other.colour} {other.shape}", kind)


def merged_caption(scene: Scene, came_with: Title) -> str:
    """The true caption, with what only the title says."""
    return " ".join(filter(None, (detailed_caption(scene), came_with.adds)))


def _going(thing: Thing) -> str:
    return "stays still" if thing.direction == "still" else f"moves {thing.direction}"


def _other_thing(scene: Scene, rng: random.Random) -> Thing:
    """An object of another colour and another shape than any in the scene."""
    colours = sorted(set(COLOURS) - {t.colour for t in scene.things})
    shapes = sorted(set(SHAPES) - {t.shape for t in scene.things})
    return Thing(shape=rng.choice(shapes), colour=rng.choice(colours), direction=rng.choice(("left", "right", "up")))
