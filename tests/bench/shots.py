"""`python -m tests.bench.shots`: how well each shot detector finds known transitions, and how fast it is.

There are two sets: the real videos of `../shared/videos`, whose hard cuts a person has verified; and edits composed
(`pipeline.synthetic.edits`) from parts of those videos and from synthetic scenes, of any total length. Every file is
decoded once for all detectors. Edits and detector reports are stored in `out/bench_shots/`, so that an interrupted run
continues; `--fresh` starts again. `shot_matching` defines when a transition is found. Writes `out/bench_shots.json`.

Thresholds were tuned on edits of seed 1000 and, for the default detector, on the real videos. The edits of the default
seed are new combinations, but the real footage in them is that of the real videos.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from pipeline.decode.frame import StreamFrame
from pipeline.decode.reader import FrameReader, open_video
from pipeline.split.detectors.catalogue import DETECTORS, make_detector
from pipeline.split.detectors.detector import Transition
from pipeline.synthetic.edits import encode_edit, plan_edit
from pipeline.synthetic.edits_footage import Stretches, draw_footage, read_stretches
from schemas.recipe.split import SplitConfig
from tests.bench.shot_matching import KINDS, Tally, match

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
OUT = Path("out")
PART_S = 120.0
NUM_REAL, NUM_DRAWN = 12, 8
"""Pieces of footage from which one edit of PART_S seconds is composed."""
EVALUATION_SEED = 0
"""The detectors' thresholds were tuned on edits of seed 1000."""

STRETCHES = (
    Stretches(
        "dev01_sintel_trailer_letterbox_fades.mp4",
        ((44, 69), (96, 157), (263, 283), (416, 437), (496, 520), (526, 570), (576, 607), (656, 705)),
    ),
    Stretches("dev02_nasa_two_video_streams.mp4", ((3, 147), (180, 237), (243, 343))),
    Stretches("dev03_flower_timelapse.mp4", ((0, 150),)),
    Stretches("dev06_rooftop_portrait_rot90_hevc_editlist.mp4", ((0, 77),), rotation_deg=-90),
    Stretches("dev07_square_line_animation_60fps.mp4", ((103, 203), (363, 463), (863, 963))),
    Stretches("dev08_asl_sign_again_person.mkv", ((0, 77),)),
    Stretches("dev13_portrait_hdr10_av1.mp4", ((0, 60), (60, 127))),
)
"""Parts of the real videos, as [first, last) frames, without a transition according to their manifest."""

BEST_STREAM: dict[str, dict[str, Any]] = {
    "dev02_nasa_two_video_streams.mp4": {
        "verified_cuts": [240],
        "gradual_transitions": [{"first_frame": 150, "last_frame": 176}],
    }
}
"""The manifest describes a different stream of this file than the one FFmpeg selects; these facts come from its
note."""


def real_part(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """A real video: its path and its known transitions."""
    known = [["cut", cut, cut] for cut in facts["verified_cuts"]]
    for change in facts["gradual_transitions"] or ():
        kind = "dissolve" if "dissolve" in change.get("type", "dissolve") else "fade"
        known.append([kind, change["first_frame"], change["last_frame"] + 1])
    return {"path": str(VIDEOS / name), "known": known, "flashes": [], "fast_motion": []}


def real_parts() -> dict[str, dict[str, Any]]:
    files = json.loads((VIDEOS / "manifest.json").read_text())["files"]
    facts = {f["file"]: f | BEST_STREAM.get(f["file"], {}) for f in files if f["frames"]}
    return {name: real_part(name, f) for name, f in facts.items() if f["verified_cuts"] is not None}


@cache
def real_footage() -> list[np.ndarray]:
    return [frames for stretches in STRETCHES for frames in read_stretches(VIDEOS, stretches)]


def composed_part(path: Path, seed: int, part: int) -> dict[str, Any]:
    """Compose edit number `part` of a seed and write it to a file."""
    rng = random.Random(f"{seed}-{part}")
    pile = rng.sample(real_footage(), NUM_REAL) + [draw_footage(rng.randrange(1 << 32)) for _ in range(NUM_DRAWN)]
    known = asdict(encode_edit(path, plan_edit(rng.randrange(1 << 32), pile, PART_S), pile))
    transitions = [[t["kind"], t["first"], t["end"]] for t in known.pop("transitions")]
    return {"path": str(path), "known": transitions} | known


def report(part: dict[str, Any], detectors: list[str]) -> dict[str, Any]:
    """Decode a file once for all detectors: for each, its transitions and the seconds of one core that it took."""
    made = {name: make_detector(SplitConfig(detector=name)) for name in detectors}
    seconds: dict[str, float] = defaultdict(float)
    num_frames = 0
    for frame in stream(part["path"]):
        num_frames += 1
        for name, detector in made.items():
            own = replace(frame)  # views that one detector computed are not available to the next
            start = time.process_time()
            detector.push(own)
            seconds[name] += time.process_time() - start
    result = {}
    for name, detector in made.items():
        start = time.process_time()
        transitions = detector.finish()
        seconds[name] += time.process_time() - start
        result[name] = {
            "transitions": [(t.first, t.end) for t in transitions],
            "seconds": seconds[name],
            "num_frames": num_frames,
            "num_nominated": getattr(detector, "num_nominated", None),
        }
    return result


def stream(path: str) -> Iterator[StreamFrame]:
    container, source = open_video(path)
    with container:
        reader = FrameReader(container, source)
        for index, raw in enumerate(reader):
            yield StreamFrame.of(raw, index, reader.times_us[index])


def with_reports(store: Path, part: dict[str, Any], detectors: list[str]) -> dict[str, Any]:
    """The part with the reports of all `detectors`; those that are not in `store` yet are made now."""
    missing = [name for name in detectors if name not in part.get("reports", {})]
    if missing:
        part["reports"] = part.get("reports", {}) | report(part, missing)
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_text(json.dumps(part))
    return part


def tally_of(part: dict[str, Any], detector: str) -> Tally:
    reported = [Transition(*pair) for pair in part["reports"][detector]["transitions"]]
    known = [(kind, first, end) for kind, first, end in part["known"]]
    return match(reported, known, part["flashes"], part["fast_motion"])


def run(options: argparse.Namespace, console: Console) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures by set and detector."""
    folder = OUT / "bench_shots"
    sets: dict[str, list[dict[str, Any]]] = {"real": [], "composed": []}
    for name, part in real_parts().items():
        store = folder / "real" / f"{name}.json"
        known = part if options.fresh or not store.is_file() else json.loads(store.read_text())
        sets["real"].append(with_reports(store, known, options.detectors))
    for index in range(round(options.minutes * 60 / PART_S)):
        store = folder / f"seed{options.seed}" / f"{index:03d}.json"
        if options.fresh or not store.is_file():
            store.parent.mkdir(parents=True, exist_ok=True)
            store.write_text(json.dumps(composed_part(store.with_suffix(".mp4"), options.seed, index)))
        part = with_reports(store, json.loads(store.read_text()), options.detectors)
        sets["composed"].append(part)
        console.print(f"composed part {index}: {len(part['known'])} transitions", style="dim")
    return {
        set_name: {detector: _figures(parts, detector) for detector in options.detectors}
        for set_name, parts in sets.items()
        if parts
    }


def _figures(parts: list[dict[str, Any]], detector: str) -> dict[str, Any]:
    tally = Tally.empty()
    for part in parts:
        tally.add(tally_of(part, detector))
    reports = [part["reports"][detector] for part in parts]
    num_frames, seconds = (sum(r[key] for r in reports) for key in ("num_frames", "seconds"))
    nominated = None
    if reports[0]["num_nominated"] is not None:
        nominated = sum(r["num_nominated"] for r in reports) / num_frames
    return {
        "kinds": tally.figures(),
        "false_alarms": dict(tally.false_places),
        "frames": dict(tally.frames) | {"total": num_frames},
        "frames_per_s": num_frames / seconds,
        "ms_per_frame": 1000 * seconds / num_frames,
        "nominated_frac": nominated,
    }


def show(console: Console, figures: dict[str, dict[str, dict[str, Any]]]) -> None:
    for set_name, detectors in figures.items():
        kinds = [kind for kind in (*KINDS, "all") if any(kind in row["kinds"] for row in detectors.values())]
        table = Table("detector", *(f"{kind} P / R / F1" for kind in kinds), "false: flash, motion, other")
        for column in ("mixed left in", "clear lost", "ms/frame", "frames/s", "nominated"):
            table.add_column(column)
        table.title = f"{set_name}: {next(iter(detectors.values()))['frames']['total']} frames"
        for detector, row in detectors.items():
            scores = [f"{s['precision']:.3f} / {s['recall']:.3f} / {s['f1']:.3f}" for s in map(row["kinds"].get, kinds)]
            false = ", ".join(str(row["false_alarms"].get(place, 0)) for place in ("flash", "motion", "elsewhere"))
            table.add_row(
                detector,
                *scores,
                false,
                f"{row['frames']['mixed_left_in'] / max(row['frames']['mixed'], 1):.1%}",
                f"{row['frames']['clear_lost'] / row['frames']['total']:.2%}",
                f"{row['ms_per_frame']:.3f}",
                f"{row['frames_per_s']:.0f}",
                "" if row["nominated_frac"] is None else f"{row['nominated_frac']:.1%}",
            )
        console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shots", description="Evaluate shot detectors.")
    parser.add_argument("--minutes", type=float, default=60.0, help="of composed edits (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    parser.add_argument("--detectors", type=lambda text: text.split(","), default=sorted(DETECTORS))
    parser.add_argument("--fresh", action="store_true", help="ignore the results of earlier runs")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    figures = run(options, console)
    show(console, figures)
    OUT.mkdir(exist_ok=True)
    (OUT / "bench_shots.json").write_text(json.dumps({"seed": options.seed, "sets": figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
