"""A script describes a video to draw: its shots, how each joins the next, its bars, overlays and frame times.

`frames` draws it one picture at a time; `video_truth` says what is true of it. Every picture is a sum of layers, one
for each shot on screen, weighted by the ramps at the shot's ends: two complementary ramps that overlap are a dissolve,
two that follow each other are a fade through black, and no ramp is a cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pipeline.synthetic.overlays import paint
from pipeline.synthetic.render import render_at
from pipeline.synthetic.truth import Cut, Overlay, ShotTruth, Transition, VideoTruth
from pipeline.synthetic.world import Scene, detailed_caption, short_caption

MIN_DURATION_S = 0.5
"""A shorter shot must be rejected."""
DARK_GAIN = 0.1
"""Gain of shots that must be rejected as too dark."""


@dataclass(frozen=True)
class Shot:
    """A scene for a number of frames; `gain` multiplies its pixels, so a small one makes a shot too dark to use."""

    scene: Scene
    num_frames: int
    gain: float = 1.0
    near_duplicate_of: str | None = None


@dataclass(frozen=True)
class Joint:
    """How one shot joins the next: `cut`, `dissolve` or `fade`, the last two over `num_frames` of either shot."""

    kind: str = "cut"
    num_frames: int = 0


@dataclass(frozen=True)
class Script:
    """A video to draw.

    Sizes are as displayed. `holds` repeats over the frames and says for how many ticks of 1/`tick_fps` s each one is
    shown: `(1,)` is a constant frame rate, anything uneven a variable one. Of a damaged file `num_frames_kept` can
    be decoded.
    """

    width: int
    height: int
    tick_fps: int
    shots: tuple[Shot, ...]
    joints: tuple[Joint, ...] = ()
    content_box: tuple[int, int, int, int] | None = None
    overlays: tuple[Overlay, ...] = ()
    holds: tuple[int, ...] = (1,)
    num_frames_kept: int | None = None

    @property
    def starts(self) -> tuple[int, ...]:
        """First frame of each shot."""
        starts = [0]
        for shot, joint in zip(self.shots, self.joints, strict=False):
            starts.append(starts[-1] + shot.num_frames - (joint.num_frames if joint.kind == "dissolve" else 0))
        return tuple(starts)

    @property
    def num_frames(self) -> int:
        return self.starts[-1] + self.shots[-1].num_frames

    def times_s(self) -> list[Fraction]:
        """When each frame is shown, and at the end of the list when the last one ends, (num_frames + 1,)."""
        ticks = [0]
        for frame in range(self.num_frames):
            ticks.append(ticks[-1] + self.holds[frame % len(self.holds)])
        return [Fraction(tick, self.tick_fps) for tick in ticks]

    def ramps(self, index: int) -> tuple[int, int]:
        """How many frames a shot takes to fade in and to fade out."""
        joints = (Joint(), *self.joints, Joint())
        return joints[index].num_frames, joints[index + 1].num_frames


def frames(script: Script) -> Iterator[np.ndarray]:
    """Draw a script, one (H, W, 3) uint8 RGB frame at a time; at most two shots are in memory."""
    x, y, w, h = script.content_box or (0, 0, script.width, script.height)
    times = script.times_s()
    shots = list(zip(script.starts, script.shots, strict=True))
    live: dict[int, Iterator[np.ndarray]] = {}
    for frame in range(script.num_frames):
        layers = []
        for index, (start, shot) in enumerate(shots):
            if not start <= frame < start + shot.num_frames:
                live.pop(index, None)
                continue
            if index not in live:
                shown = times[start : start + shot.num_frames]
                live[index] = render_at(shot.scene, w, h, _positions(shown))
            weight = shot.gain * _weight(frame - start, shot.num_frames, *script.ramps(index))
            layers.append((next(live[index]), weight))
        picture = _mix(layers)
        if script.content_box:
            whole = np.zeros((script.height, script.width, 3), np.uint8)
            whole[y : y + h, x : x + w] = picture
            picture = whole
        for overlay in script.overlays:
            paint(overlay, picture, times[frame])
        yield picture


def video_truth(script: Script, file: str, time_base: Fraction, **facts) -> VideoTruth:
    """What is true of the file of a script, its times rounded to the container's `time_base`."""
    num_frames = script.num_frames if script.num_frames_kept is None else script.num_frames_kept
    times_s = script.times_s()[: num_frames + 1]
    times_us = [round(round(time / time_base) * time_base * 1_000_000) for time in times_s]
    cuts, transitions = [], []
    for index, joint in enumerate(script.joints):
        start, n = script.starts[index + 1], joint.num_frames
        if joint.kind == "cut" and start < num_frames:
            cuts.append(Cut(start, times_us[start]))
        elif joint.kind == "dissolve":
            transitions.append(Transition("dissolve", start, start + n - 1))
        elif joint.kind == "fade":
            transitions.append(Transition("fade_out", start - n, start - 1))
            transitions.append(Transition("fade_in", start, start + n - 1))
    return VideoTruth(
        file=file,
        status="probed",
        width=script.width,
        height=script.height,
        num_frames=num_frames,
        fps=round(float(num_frames / times_s[-1]), 6),
        duration_us=times_us[-1],
        variable_frame_rate=len(set(script.holds)) > 1,
        cuts=tuple(cuts),
        transitions=tuple(transitions),
        overlays=script.overlays,
        shots=tuple(
            _shot_truth(script, index, times_us)
            for index in range(len(script.shots))
            if script.starts[index] < num_frames
        ),
        **facts,
    )


def _shot_truth(script: Script, index: int, times_us: list[int]) -> ShotTruth:
    shot, start = script.shots[index], script.starts[index]
    come, go = script.ramps(index)
    end = min(start + shot.num_frames, len(times_us) - 1)
    rejects, may_reject = _verdict(script, shot, (times_us[end] - times_us[start]) / 1e6)
    return ShotTruth(
        index=index,
        start_frame=start,
        end_frame=end,
        clear_start_frame=start + come,
        clear_end_frame=min(start + shot.num_frames - go, end),
        start_us=times_us[start],
        end_us=times_us[end],
        scene=shot.scene,
        short_caption=short_caption(shot.scene),
        detailed_caption=detailed_caption(shot.scene),
        content_box=script.content_box,
        rejects=rejects,
        may_reject=may_reject,
        near_duplicate_of=shot.near_duplicate_of,
    )


def _verdict(script: Script, shot: Shot, duration_s: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The measures that must reject a shot, and those that may."""
    must, may = [], []
    if duration_s < MIN_DURATION_S:
        must.append("duration_s")
    if shot.gain <= DARK_GAIN:
        must.append("brightness")
        may.append("motion_px_s")  # in the dark, motion is lost in the codec's noise
    elif is_still(shot.scene) and not any(overlay.kind == "ticker" for overlay in script.overlays):
        must.append("motion_px_s")
    elif not moves_clearly(shot.scene):
        may.append("motion_px_s")
    return tuple(must), tuple(may)


def is_still(scene: Scene) -> bool:
    """Nothing moves: every frame of the scene is the same."""
    return scene.camera == "still" and not any(t.direction != "still" or t.spins for t in scene.things)


def moves_clearly(scene: Scene) -> bool:
    """The camera moves, or something large and quick does.

    The flow of less motion, on a busy background, was seen to vanish among still pixels.
    """
    return scene.camera != "still" or any(
        t.direction != "still" and t.size == "large" and t.speed == "quickly" for t in scene.things
    )


def _positions(times: list[Fraction]) -> list[float]:
    """Shot positions in [0, 1] of the frames shown at `times`; one frame is taken half-way."""
    span = times[-1] - times[0]
    return [float((time - times[0]) / span) for time in times] if span else [0.5]


def _weight(frame: int, num_frames: int, come: int, go: int) -> float:
    """How strongly a shot shows in its `frame`-th frame, in (0, 1]: a linear ramp at each end that has one."""
    rise = (frame + 1) / (come + 1) if frame < come else 1.0
    left = num_frames - frame
    return rise * (left / (go + 1) if left <= go else 1.0)


def _mix(layers: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """The weighted sum of (H, W, 3) pictures."""
    if len(layers) == 1 and layers[0][1] == 1.0:
        return layers[0][0]
    total = sum((picture * np.float32(weight) for picture, weight in layers), np.float32(0.5))
    return np.asarray(total).astype(np.uint8)
