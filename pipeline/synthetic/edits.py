"""Composed edits: shots of real and synthetic footage joined by cuts, dissolves and fades at known frames.

They also have, at known frames, what looks like a cut and is not: flashes, whip pans, objects that cross the picture.
An edit is planned from a seed and some footage, then drawn picture by picture; its truth follows from the plan.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.synthetic.edits_shots import EditShot, Flash, Look, Passer, Shake, View, Whip, picture
from pipeline.synthetic.encode import Encoding, encode

JointKind = Literal["cut", "dissolve", "fade"]

WIDTH, HEIGHT = 320, 180
FRAME_RATES = (24, 25, 30)
FLASH_FRAMES, WHIP_FRAMES, PASSER_FRAMES = (1, 4), (5, 14), (4, 12)
FLASH_SHARE, WHIP_SHARE, PASSER_SHARE = 0.2, 0.15, 0.15
"""Shares of the shots with a flash, a whip pan, a passer-by."""
CLEARANCE_FRAMES = 8
"""Least distance between a transition and something that only looks like one, so that a detection near either can be
judged."""
JUMP_CUT_SHARE = 0.15
"""Share of the cuts that lead to another view of the same footage."""
MIN_CHANGE = 8.0
"""Least mean difference, of 255, of the pictures on both sides of a joint; less is hardly seen."""


@dataclass(frozen=True)
class Pace:
    """How long shots and joints are."""

    shot_s: tuple[float, float]
    """Shortest and longest shot; lengths are evenly distributed on a logarithmic scale."""
    joints: tuple[float, float, float]
    """Shares of cuts, dissolves and fades."""
    dissolve_frames: tuple[int, int]
    fade_frames: tuple[int, int]
    held_frames: tuple[int, int]


PLAIN = Look()
CALM = Pace((0.8, 7.0), (0.6, 0.22, 0.18), (4, 48), (6, 30), (0, 12))
FAST = Pace((0.3, 1.5), (0.75, 0.15, 0.1), (4, 16), (3, 10), (0, 4))
"""A montage, as in trailers and music videos."""


@dataclass(frozen=True)
class EditJoint:
    """From one shot to the next: a dissolve of `out_frames`, or a fade out, held colour, and a fade in."""

    kind: JointKind
    out_frames: int = 0
    held_frames: int = 0
    in_frames: int = 0
    colour: int = 0

    @property
    def num_frames(self) -> int:
        return self.out_frames + self.held_frames + self.in_frames

    @property
    def frames_of_new(self) -> int:
        """During how many of them the new shot plays already."""
        return self.out_frames if self.kind == "dissolve" else self.in_frames


@dataclass(frozen=True)
class Edit:
    """Shots, how many frames of each are seen alone, and the joints between them."""

    fps: int
    shots: tuple[EditShot, ...]
    clear_frames: tuple[int, ...]
    joints: tuple[EditJoint, ...]


@dataclass(frozen=True)
class TrueTransition:
    """Frames [first, end) belong to neither shot; for a cut both are the new shot's first."""

    kind: JointKind
    first: int
    end: int


@dataclass(frozen=True)
class EditTruth:
    """What is true of an edit; flashes and fast motion are ranges [first, end) of frames."""

    fps: int
    num_frames: int
    transitions: tuple[TrueTransition, ...]
    flashes: tuple[tuple[int, int], ...]
    fast_motion: tuple[tuple[int, int], ...]


def plan_edit(
    seed: int, footage: Sequence[np.ndarray], duration_s: float, pace: Pace = CALM, look: Look = PLAIN
) -> Edit:
    """Choose shots until they last `duration_s`.

    Args:
        footage: (T, h, w, 3) uint8 RGB each, without cuts.
        look: of every shot; a shake begins anew in each.
    """
    rng = random.Random(f"edit-{seed}")
    fps = rng.choice(FRAME_RATES)
    shots: list[EditShot] = []
    clear: list[int] = []
    joints: list[EditJoint] = []
    num_frames = shown = 0
    while num_frames < duration_s * fps:
        joint = _joint(rng, pace) if shots else EditJoint("cut")
        shot = _next_shot(rng, footage, shots[-1], shown, joint) if shots else _shot(rng, footage)
        length = round(fps * pace.shot_s[0] * (pace.shot_s[1] / pace.shot_s[0]) ** rng.random())
        shots.append(_with_events(rng, shot, joint.frames_of_new, length))
        joints.append(joint)
        clear.append(length)
        shown = joint.frames_of_new + length
        num_frames += joint.num_frames + length
    return Edit(fps, tuple(_looking(shot, look, n) for n, shot in enumerate(shots)), tuple(clear), tuple(joints[1:]))


def truth(edit: Edit) -> EditTruth:
    """Where everything is in the edit that `pictures` draws."""
    transitions: list[TrueTransition] = []
    flashes: list[tuple[int, int]] = []
    fast: list[tuple[int, int]] = []
    now = 0
    for index, (shot, clear) in enumerate(zip(edit.shots, edit.clear_frames, strict=True)):
        begin = now - _come(edit, index)
        flashes += [(begin + flash.first, begin + flash.end) for flash in shot.flashes]
        fast += [(begin + event.first, begin + event.end) for event in (*shot.whips, *shot.passers)]
        now += clear
        if index < len(edit.joints):
            joint = edit.joints[index]
            transitions.append(TrueTransition(joint.kind, now, now + joint.num_frames))
            now += joint.num_frames
    return EditTruth(edit.fps, now, tuple(transitions), tuple(flashes), tuple(fast))


def pictures(edit: Edit, footage: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Draw an edit, one (HEIGHT, WIDTH, 3) uint8 RGB frame at a time."""
    for index, (shot, clear) in enumerate(zip(edit.shots, edit.clear_frames, strict=True)):
        come = _come(edit, index)
        for frame in range(come, come + clear):
            yield picture(shot, footage[shot.footage], frame, WIDTH, HEIGHT)
        if index < len(edit.joints):
            yield from _joined(edit.joints[index], shot, edit.shots[index + 1], come + clear, footage)


def encode_edit(path: Path, edit: Edit, footage: Sequence[np.ndarray]) -> EditTruth:
    """Write an edit as an H.264 file and say what is true of it."""
    known = truth(edit)
    times_s = [Fraction(index, edit.fps) for index in range(known.num_frames + 1)]
    encode(path, pictures(edit, footage), times_s, Fraction(edit.fps), Encoding())
    return known


def _joined(
    joint: EditJoint, old: EditShot, new: EditShot, old_frame: int, footage: Sequence[np.ndarray]
) -> Iterator[np.ndarray]:
    """The frames of a joint; weights never reach 0 or 1, so that every one of them is a mixture."""
    blank = np.full((HEIGHT, WIDTH, 3), joint.colour, np.uint8)
    for frame in range(joint.out_frames):
        before = picture(old, footage[old.footage], old_frame + frame, WIDTH, HEIGHT)
        after = picture(new, footage[new.footage], frame, WIDTH, HEIGHT) if joint.kind == "dissolve" else blank
        yield _mixed(before, after, (frame + 1) / (joint.out_frames + 1))
    for _ in range(joint.held_frames):
        yield blank
    for frame in range(joint.in_frames):
        after = picture(new, footage[new.footage], frame, WIDTH, HEIGHT)
        yield _mixed(blank, after, (frame + 1) / (joint.in_frames + 1))


def _mixed(before: np.ndarray, after: np.ndarray, weight: float) -> np.ndarray:
    return (before * np.float32(1 - weight) + after * np.float32(weight) + np.float32(0.5)).astype(np.uint8)


def _come(edit: Edit, index: int) -> int:
    """How many frames of a shot have run before it is seen alone."""
    return edit.joints[index - 1].frames_of_new if index else 0


def _joint(rng: random.Random, pace: Pace) -> EditJoint:
    (kind,) = rng.choices(("cut", "dissolve", "fade"), pace.joints)
    if kind == "dissolve":
        return EditJoint("dissolve", rng.randint(*pace.dissolve_frames))
    if kind == "fade":
        colour = 255 if rng.random() < 0.3 else 0
        out, held, back = (rng.randint(*span) for span in (pace.fade_frames, pace.held_frames, pace.fade_frames))
        return EditJoint("fade", out, held, back, colour)
    return EditJoint("cut")


def _looking(shot: EditShot, look: Look, number: int) -> EditShot:
    shake = replace(look.shake, seed=number) if look.shake.strength else Shake()
    return replace(shot, look=replace(look, shake=shake))


def _shot(rng: random.Random, footage: Sequence[np.ndarray]) -> EditShot:
    index = rng.randrange(len(footage))
    zoom = rng.uniform(1.0, 1.8)
    reach = (zoom - 1) / 2
    view = View(
        zoom=zoom,
        start=(rng.uniform(-reach, reach), rng.uniform(-reach, reach)),
        drift=(rng.gauss(0, 0.001), rng.gauss(0, 0.001)),
        speed=rng.uniform(0.6, 1.4),
        mirrored=rng.random() < 0.5,
        gains=(rng.uniform(0.7, 1.2), rng.uniform(0.7, 1.2), rng.uniform(0.7, 1.2)),
        channels=(2, 1, 0) if rng.random() < 0.2 else (0, 1, 2),
    )
    return EditShot(index, view, first_frame=rng.randrange(len(footage[index])))


def _next_shot(
    rng: random.Random, footage: Sequence[np.ndarray], old: EditShot, old_frame: int, joint: EditJoint
) -> EditShot:
    """A shot that differs visibly from the one before it."""
    before = picture(old, footage[old.footage], old_frame, WIDTH, HEIGHT).astype(np.float32)
    jumps = joint.kind == "cut" and rng.random() < JUMP_CUT_SHARE
    while True:
        new = _shot(rng, footage)
        if jumps:
            view = replace(new.view, gains=old.view.gains, channels=old.view.channels, mirrored=old.view.mirrored)
            new = replace(new, footage=old.footage, view=view, first_frame=rng.randrange(len(footage[old.footage])))
        after = picture(new, footage[new.footage], 0, WIDTH, HEIGHT)
        if np.abs(after - before).mean() >= MIN_CHANGE:
            return new
        jumps = False


def _with_events(rng: random.Random, shot: EditShot, come: int, clear: int) -> EditShot:
    """A shot with a flash, a whip pan or a passer-by in its clear part, where there is room."""

    def placed(frames: tuple[int, int], share: float) -> tuple[int, int] | None:
        length = rng.randint(*frames)
        room = clear - length - 2 * CLEARANCE_FRAMES
        if rng.random() >= share or room < 0:
            return None
        first = come + CLEARANCE_FRAMES + rng.randint(0, room)
        return first, first + length

    whip, passer, flash = (
        placed(WHIP_FRAMES, WHIP_SHARE),
        placed(PASSER_FRAMES, PASSER_SHARE),
        placed(FLASH_FRAMES, FLASH_SHARE),
    )
    sign = rng.choice((-1, 1))
    travel = (sign * rng.uniform(0.6, 2.0), 0.0) if rng.random() < 0.8 else (0.0, sign * rng.uniform(0.6, 1.5))
    colour = rng.randrange(256), rng.randrange(256), rng.randrange(256)
    size, from_left, strength = rng.uniform(0.6, 1.3), rng.random() < 0.5, rng.uniform(0.4, 0.95)
    return replace(
        shot,
        whips=(Whip(*whip, travel),) if whip else (),
        passers=(Passer(*passer, size, colour, from_left),) if passer else (),
        flashes=(Flash(*flash, strength),) if flash else (),
    )
