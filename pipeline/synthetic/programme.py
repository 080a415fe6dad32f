"""The kinds of video in a synthetic corpus, and how the script of one is chosen from a seed."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from pipeline.synthetic.assemble import DARK_GAIN, Joint, Script, Shot, is_still
from pipeline.synthetic.encode import Encoding
from pipeline.synthetic.overlays import logo, ticker
from pipeline.synthetic.world import BACKGROUND_COLOURS, LIGHTS, Scene, draw_scene

HELD_OUT_SEED = 1_000_000_000
"""Scenes from this seed on are never used to fit a model."""
DURATIONS_S = {"plain": (1.5, 4.0), "still": (1.8, 2.6), "dark": (1.8, 2.6), "short": (0.25, 0.4)}
"""How long a shot of each role lasts, from and to."""
TRANSITION_S = 0.5
MIN_CONTRAST = 48
"""Backgrounds on both sides of a joint differ by this in some channel, of 255, so that a cut can be seen."""

NIGHT = Shot(Scene(things=(), background="black", light="dim"), 1, DARK_GAIN)
"""The darkest shot there is. A shot before a dark one must contrast with this one, which a black background does
not."""


@dataclass(frozen=True)
class Style:
    """One kind of video. `roles` are the shots', keys of DURATIONS_S; `joints` are between them."""

    name: str
    width: int
    height: int
    tick_fps: int
    encoding: Encoding
    roles: tuple[str, ...] = ("plain", "plain", "plain")
    joints: tuple[str, ...] = ("cut", "cut")
    content_box: tuple[int, int, int, int] | None = None
    overlays: tuple[str, ...] = ()
    holds: tuple[int, ...] = (1,)


STYLES = (
    Style("cuts", 256, 144, 24, Encoding()),
    Style("portrait", 144, 256, 30, Encoding(".webm", "libvpx"), joints=("dissolve", "cut")),
    Style("fade", 192, 192, 12, Encoding(".mkv"), joints=("fade", "cut")),
    Style("letterbox", 320, 180, 25, Encoding(), content_box=(0, 22, 320, 136)),
    Style(
        "unusable", 192, 144, 24, Encoding(), roles=("plain", "short", "plain", "still", "dark"), joints=("cut",) * 4
    ),
    Style("blink", 176, 144, 30, Encoding(), roles=("short",), joints=()),
    Style("variable", 256, 144, 30, Encoding(), holds=(1, 1, 2, 1, 3, 1, 1, 2)),
    Style("rotated", 144, 256, 24, Encoding(rotation_deg_ccw=-90), roles=("plain", "plain"), joints=("cut",)),
    Style("logo", 160, 120, 15, Encoding(".mkv", "mpeg4"), overlays=("logo",)),
    Style("ticker", 320, 180, 25, Encoding(".webm", "libvpx-vp9"), joints=("cut", "dissolve"), overlays=("ticker",)),
    Style("pillarbox", 256, 144, 30, Encoding(".mkv", "libx265"), content_box=(32, 0, 192, 144)),
    Style("anamorphic", 240, 144, 20, Encoding(sample_aspect_ratio=Fraction(4, 3)), joints=("cut", "fade")),
    Style("single", 224, 128, 16, Encoding(".webm", "libvpx"), roles=("plain",), joints=()),
)
"""In the order of the corpus: the first few already differ in most ways."""


def write_script(style: Style, seed: int | str) -> Script:
    """Choose the shots of one video of a style."""
    rng = random.Random(f"script-{style.name}-{seed}")
    mean_hold = sum(style.holds) / len(style.holds)
    shots: list[Shot] = []
    for role, next_role in zip(style.roles, (*style.roles[1:], ""), strict=True):
        num_frames = max(round(rng.uniform(*DURATIONS_S[role]) * style.tick_fps / mean_hold), 2)
        scene = cast(rng, role, next_to=[*shots[-1:], *([NIGHT] if next_role == "dark" else [])])
        shots.append(Shot(scene, num_frames, DARK_GAIN if role == "dark" else 1.0))
    ramp = round(TRANSITION_S * style.tick_fps / mean_hold)
    makers = {"logo": lambda: logo(style.width, style.height), "ticker": lambda: ticker(style.width, style.height)}
    return Script(
        width=style.width,
        height=style.height,
        tick_fps=style.tick_fps,
        shots=tuple(shots),
        joints=tuple(Joint(kind, 0 if kind == "cut" else ramp) for kind in style.joints),
        content_box=style.content_box,
        overlays=tuple(makers[kind]() for kind in style.overlays),
        holds=style.holds,
    )


def write_long_script(
    seed: int, *, width: int, height: int, fps: int, shot_s: float, num_shots: int, num_turns: int
) -> Script:
    """Shots that hard cuts join, in the same order again and again; the last of them contrasts with the first."""
    rng = random.Random(f"long-{seed}")
    shots: list[Shot] = []
    for index in range(num_shots):
        neighbours = [*shots[-1:], *(shots[:1] if index == num_shots - 1 else [])]
        shots.append(Shot(cast(rng, "plain", next_to=neighbours), round(shot_s * fps)))
    num_all = num_shots * num_turns
    return Script(width, height, fps, tuple(shots) * num_turns, (Joint(),) * (num_all - 1))


def cast(rng: random.Random, role: str, next_to: list[Shot]) -> Scene:
    """Draw scenes until one fits a role and contrasts with the shots beside it."""
    while True:
        scene = draw_scene(HELD_OUT_SEED + rng.randrange(HELD_OUT_SEED))
        if role == "still":
            things = tuple(replace(thing, direction="still", spins=False) for thing in scene.things)
            scene = replace(scene, camera="still", things=things)
        elif is_still(scene):
            continue
        if role == "dark":
            scene = replace(scene, light="dim")
        elif scene.background == "black" and scene.light == "dim":
            continue  # nearly too dark, but not so that every measure must say so
        gain = DARK_GAIN if role == "dark" else 1.0
        if all(_contrast(scene, gain, shot) >= MIN_CONTRAST for shot in next_to):
            return scene


def frames_per_s(script: Script) -> Fraction:
    """The average rate, to announce in a header."""
    return Fraction(script.num_frames) / script.times_s()[-1]


def num_turns(duration_s: float, loop_s: float) -> int:
    """How often a loop must be shown to last at least `duration_s`."""
    return max(math.ceil(duration_s / loop_s), 1)


def _contrast(scene: Scene, gain: float, other: Shot) -> float:
    """The greatest difference between two backgrounds in any channel, of 255."""
    return float(np.abs(_place(scene) * gain - _place(other.scene) * other.gain).max())


def _place(scene: Scene) -> np.ndarray:
    return np.array(BACKGROUND_COLOURS[scene.background], float) * LIGHTS[scene.light]
