"""`python -m tests.bench.camera [--clips N] [--seed N]`: labels of camera motion compared with known camera moves.

A virtual camera moves over synthetic textures and, if `../shared/videos` is there, over stills from real footage, at 24
to 60 frames a second and 2% to 60% of the picture's width a second, with noise and moving objects in front. Two of
three clips go through an encoder and a decoder. Prints true against measured labels, and the share that is right by
kind, speed and other aspects.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.motion import MotionMeasure
from pipeline.synthetic.camera_moves import TEXTURES, CameraMove, MoveKind, MovingObject, Texture, draw_texture, render
from pipeline.synthetic.encode import Encoding, encode
from schemas.recipe.measure import MeasureConfig

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
KINDS = ("still", "pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out", "roll")
EXTRA_KINDS = ("shake", "complex")
SPEEDS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6)
RATES = (24.0, 25.0, 30.0, 50.0, 60.0)
SIZES = ((320, 180), (256, 256), (180, 320), (384, 216))
TRAVEL_FRAC = 0.9
"""How far a camera may move, as a share of the view's longer side, so that it stays within most pictures."""
CODECS: tuple[dict[str, str] | None, ...] = (None, {"crf": "20"}, {"crf": "30"})
MOVERS = (None, None, (0.15, 0.2), (0.3, 0.3), (0.5, 0.15))
"""Area and speed of a moving object, or none; the larger objects only in front of a camera that does not move."""


@dataclass(frozen=True)
class Case:
    """One clip: the camera's move, the picture under it, its size, and how it is encoded (None: not at all)."""

    move: CameraMove
    picture: str
    size: tuple[int, int]
    codec: dict[str, str] | None


def plan(
    num_clips: int,
    stills: Iterable[str],
    kinds: tuple[str, ...] = KINDS,
    speeds: tuple[float, ...] = SPEEDS,
    seed: int = 0,
) -> list[Case]:
    """Clips of each kind and speed in turn; everything else is random."""
    rng = np.random.default_rng(seed)
    names = [*TEXTURES, *stills]
    cases = []
    for index in range(num_clips):
        kind = kinds[index % len(kinds)]
        speed = speeds[index // len(kinds) % len(speeds)]
        duration_s = float(np.clip(TRAVEL_FRAC / speed, 1.0, rng.choice([2.0, 4.0])))
        thing = None
        chosen = MOVERS[rng.integers(len(MOVERS))]
        if chosen and (kind == "still" or chosen[0] < 0.3):
            thing = MovingObject(*chosen, direction_deg=float(rng.uniform(0, 360)))
        move = CameraMove(
            cast(MoveKind, kind),
            speed_frac=speed,
            fps=float(rng.choice(RATES)),
            duration_s=duration_s,
            clockwise=bool(rng.integers(2)),
            noise_sigma=float(rng.choice([0.0, 0.0, 4.0, 8.0])),
            moving_object=thing,
            seed=seed + index,
        )
        size = SIZES[rng.integers(len(SIZES))]
        cases.append(Case(move, names[rng.integers(len(names))], size, CODECS[rng.integers(len(CODECS))]))
    return cases


def measure(frames: Iterable[av.VideoFrame], fps: float) -> dict[str, Any]:
    """The columns of the measures `motion` and `camera` for a clip."""
    motion = None
    previous = None
    for index, raw in enumerate(frames):
        motion = motion or MotionMeasure(
            VideoFacts(raw.width, raw.height, raw.width * raw.height, fps), MeasureConfig()
        )
        frame = StreamFrame.of(raw, index, round(index / fps * 1e6))
        motion.push(frame, previous)
        previous = frame
    if motion is None or previous is None:
        raise ValueError("the clip has no frames")
    span = Span(0, 0, previous.index + 1, 0, previous.time_us)
    return motion.scores(span, [span])


def frames_of(case: Case, pictures: dict[str, np.ndarray]) -> Iterator[av.VideoFrame]:
    """The clip as it is rendered, or after encoding and decoding."""
    picture = pictures.get(case.picture)
    if picture is None:
        picture = draw_texture(cast(Texture, case.picture), 960, 720, case.move.seed)
    drawn = render(picture, case.move, *case.size)
    if case.codec is None:
        for frame in drawn:
            yield av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
        return
    fps = Fraction(case.move.fps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        times_s = [index / fps for index in range(case.move.num_frames + 1)]
        encode(path, drawn, times_s, fps, Encoding(options=tuple(case.codec.items())))
        with av.open(str(path)) as container:
            yield from container.decode(video=0)


def real_stills(folder: Path, only: tuple[str, ...] = ("dev0", "dev13"), every_s: float = 4.0) -> dict[str, np.ndarray]:
    """Frames of the videos whose names start with one of `only`, every few seconds, without black borders or flat
    ones."""
    stills = {}
    for path in sorted(path for path in folder.iterdir() if path.name.startswith(only)):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            next_s = 0.5
            for index, frame in enumerate(container.decode(stream)):
                if index / float(stream.average_rate or 25) < next_s:
                    continue
                next_s += every_s
                picture = frame.to_ndarray(format="rgb24")
                bright = picture.max(axis=2) > 40
                rows, columns = np.flatnonzero(bright.mean(axis=1) > 0.05), np.flatnonzero(bright.mean(axis=0) > 0.05)
                if len(rows) < 300 or len(columns) < 300:
                    continue
                picture = picture[rows[0] + 4 : rows[-1] - 4, columns[0] + 4 : columns[-1] - 4]
                if cv2.Laplacian(picture, cv2.CV_32F).std() > 2:
                    stills[f"{path.stem[:5]}@{index}"] = np.ascontiguousarray(picture)
                if len([name for name in stills if name.startswith(path.stem[:5])]) == 5:
                    break
    return stills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=480)
    parser.add_argument("--extra", type=int, default=60, help="clips that shake or move in several ways at once")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(highlight=False)
    stills = real_stills(VIDEOS) if VIDEOS.is_dir() else {}
    console.print(f"{len(TEXTURES)} textures, {len(stills)} real stills")
    measured: dict[str, Counter[str]] = defaultdict(Counter)
    right: dict[tuple[str, Any], list[bool]] = defaultdict(list)
    cases = plan(args.clips, stills, seed=args.seed) + plan(args.extra, stills, EXTRA_KINDS, SPEEDS[1:], args.seed + 1)
    for case in cases:
        try:
            scores = measure(frames_of(case, stills), case.move.fps)
        except ValueError:
            right["does not fit", ""].append(True)
            continue
        label = scores["camera_motion"] or "null"
        measured[case.move.kind][label] += 1
        ok = label == case.move.kind
        if case.move.kind in KINDS:
            source = "real still" if case.picture in stills else "texture"
            aspects = {"kind": case.move.kind, "speed": case.move.speed_frac, "over": source, "fps": case.move.fps}
            aspects |= {
                "stored": str(case.codec),
                "object": str(case.move.moving_object and case.move.moving_object.area_frac),
            }
            aspects |= {"picture": case.picture, "all": "all"}
            for aspect in aspects.items():
                right[aspect].append(ok)
        if not ok:
            numbers = {key: round(value, 3) if isinstance(value, float) else value for key, value in scores.items()}
            console.print(case, numbers, soft_wrap=True)
    _show(console, measured, right)
    return 0


def _show(console: Console, measured: dict[str, Counter[str]], right: dict[tuple[str, Any], list[bool]]) -> None:
    labels = [*KINDS, *EXTRA_KINDS, "null"]
    table = Table("true \\ measured", *labels)
    for kind in (*KINDS, *EXTRA_KINDS):
        table.add_row(kind, *(str(measured[kind][label] or "") for label in labels))
    console.print(table)
    shares = Table("", "", "clips", "right")
    for (aspect, value), marks in sorted(right.items(), key=str):
        shares.add_row(aspect, str(value), str(len(marks)), f"{np.mean(marks):.3f}")
    console.print(shares)


if __name__ == "__main__":
    sys.exit(main())
