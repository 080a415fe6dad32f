"""`python -m tests.bench.shots`: how well each shot detector finds known transitions, and how fast it is.

`shot_material` says what the sets are: the real videos, calm edits, and fast edits of footage that was tuned on and of
footage that was not. Every file is decoded once for all detectors. Edits and detector reports are stored in
`out/bench_shots/`, so that an interrupted run continues; `--fresh` starts again. `shot_matching` defines when a
transition is found. Writes `out/bench_shots.json`.

Thresholds were tuned on calm edits of seed 1000, on the fast edits of the real videos and, for the default detector, on
the real videos themselves. The calm edits of the default seed are new combinations, but the real footage in them is
that of the real videos.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from pipeline.decode.frame import StreamFrame
from pipeline.decode.reader import FrameReader, open_video
from pipeline.split.detectors.cascade import CascadeDetector
from pipeline.split.detectors.catalogue import DETECTORS, make_detector
from pipeline.split.detectors.detector import Transition
from pipeline.split.detectors.transnet import TransNetDetector, runs
from schemas.recipe.split import SplitConfig
from tests.bench.shot_matching import KINDS, Tally, match
from tests.bench.shot_material import (
    FAST_PART_S,
    PART_S,
    composed_part,
    fast_part,
    new_footage,
    real_footage,
    real_parts,
)

OUT = Path("out")
EVALUATION_SEED = 0
"""The detectors' thresholds were tuned on calm edits of seed 1000."""
TOLERANCES = (0, 2)


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
        found = detector.finish()
        seconds[name] += time.process_time() - start
        result[name] = {
            "transitions": [(t.first, t.end) for t in found],
            "seconds": seconds[name],
            "num_frames": num_frames,
        }
        if isinstance(detector, CascadeDetector):
            result[name] |= {"num_nominated": detector.num_nominated, "asked": detector.asked}
        if isinstance(detector, TransNetDetector):
            at_half = peaks(detector.scores[0])
            result["transnet at .5"] = result[name] | {"transitions": [(cut, cut) for cut in at_half]}
    return result


def peaks(middle: np.ndarray) -> list[int]:
    """TransNet's boundaries as its paper reads them: one in each run of probabilities from 0.5, gradual or not."""
    return [first + int(np.argmax(middle[first:end])) + 1 for first, end in runs(middle >= 0.5)]


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


def tally_of(part: dict[str, Any], detector: str, tolerance: int) -> Tally:
    known = [(kind, first, end) for kind, first, end in part["known"]]
    return match(_found(part, detector), known, part["flashes"], part["fast_motion"], tolerance)


def run(options: argparse.Namespace, console: Console) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures by set and detector."""
    folder = OUT / "bench_shots"
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def measured(name: str, store: Path, made: Callable[[], dict[str, Any]]) -> None:
        if options.fresh or not store.is_file():
            store.parent.mkdir(parents=True, exist_ok=True)
            store.write_text(json.dumps(made()))
        part = with_reports(store, json.loads(store.read_text()), options.detectors)
        sets[name].append(part)
        if "look" in part:
            sets[f"{name}, {part['look']}"].append(part)
        console.print(f"{store}: {len(part['known'])} transitions", style="dim")

    for index in range(round(options.fast_minutes * 60 / FAST_PART_S)):
        for name, footage in (("fast", real_footage), ("fast, new footage", new_footage)):
            store = folder / f"{name.replace(', ', '-').replace(' ', '-')}{options.seed}" / f"{index:03d}.json"
            measured(name, store, partial(fast_part, store.with_suffix(".mp4"), options.seed, index, footage()))
    for name, part in real_parts().items() if options.real else ():
        measured("real", folder / "real" / f"{name}.json", partial(dict, part))
    for index in range(round(options.minutes * 60 / PART_S)):
        store = folder / f"seed{options.seed}" / f"{index:03d}.json"
        measured("calm", store, partial(composed_part, store.with_suffix(".mp4"), options.seed, index))
    return {
        name: {detector: _figures(parts, detector) for detector in parts[0]["reports"]} for name, parts in sets.items()
    }


def _figures(parts: list[dict[str, Any]], detector: str) -> dict[str, Any]:
    tallies = {tolerance: Tally.empty() for tolerance in TOLERANCES}
    for tolerance, tally in tallies.items():
        for part in parts:
            tally.add(tally_of(part, detector, tolerance))
    reports = [part["reports"][detector] for part in parts]
    num_frames, seconds = (sum(r[key] for r in reports) for key in ("num_frames", "seconds"))
    tally = tallies[max(TOLERANCES)]
    figures = {
        "kinds": {tolerance: tally.figures() for tolerance, tally in tallies.items()},
        "known": dict(tally.known),
        "found": dict(tally.found),
        "false_alarms": dict(tally.false_places),
        "frames": dict(tally.frames) | {"total": num_frames},
        "ms_per_frame": 1000 * seconds / num_frames,
    }
    if "num_nominated" in reports[0]:
        figures["nominated_frac"] = sum(r["num_nominated"] for r in reports) / num_frames
    if "num_nominated" in reports[0] and "transnet at .5" in parts[0]["reports"]:
        figures["of_transnet"] = _of_transnet(parts, detector)
    return figures


def _of_transnet(parts: list[dict[str, Any]], detector: str) -> dict[str, int]:
    """Of the cuts that TransNet finds at .5 over the whole video: how many there are, those among them that lie in
    frames which the detector asked TransNet about or are cuts that it found by itself, and those that it reports."""
    counts = {"cuts": 0, "nominated": 0, "reported": 0}
    for part in parts:
        found = _found(part, detector)
        asked = part["reports"][detector]["asked"]
        for cut in (t.first for t in _found(part, "transnet at .5") if t.kind == "cut"):
            reported = any(t.first - max(TOLERANCES) <= cut <= t.end + max(TOLERANCES) for t in found)
            counts["cuts"] += 1
            counts["reported"] += reported
            counts["nominated"] += reported or any(first <= cut - 1 < end for first, end in asked)
    return counts


def _found(part: dict[str, Any], detector: str) -> list[Transition]:
    return [Transition(*pair) for pair in part["reports"][detector]["transitions"]]


def show(console: Console, figures: dict[str, dict[str, dict[str, Any]]]) -> None:
    for name, detectors in figures.items():
        first = next(iter(detectors.values()))
        known = ", ".join(f"{first['known'][kind]} {kind}s" for kind in KINDS if first["known"].get(kind))
        table = Table("detector", title=f"{name}: {first['frames']['total']} frames, {known}")
        for tolerance in TOLERANCES:
            table.add_column(f"cut P / R / F1, +-{tolerance}")
        for column in ("dissolve P / R / F1", "fade P / R / F1", "all F1", "false: flash, motion, other"):
            table.add_column(column)
        for column in ("mixed left in", "clear lost", "ms/frame", "asked", "TransNet's cuts asked, reported"):
            table.add_column(column)
        for detector, row in detectors.items():
            wide = row["kinds"][max(TOLERANCES)]
            asked, of_transnet = row.get("nominated_frac"), row.get("of_transnet")
            table.add_row(
                detector,
                *(_scores(row["kinds"][tolerance].get("cut")) for tolerance in TOLERANCES),
                *(_scores(wide.get(kind)) for kind in ("dissolve", "fade")),
                f"{wide['all']['f1']:.3f}",
                ", ".join(str(row["false_alarms"].get(place, 0)) for place in ("flash", "motion", "elsewhere")),
                f"{row['frames']['mixed_left_in'] / max(row['frames']['mixed'], 1):.1%}",
                f"{row['frames']['clear_lost'] / row['frames']['total']:.2%}",
                f"{row['ms_per_frame']:.3f}",
                "" if asked is None else f"{asked:.1%}",
                "" if of_transnet is None else "{nominated}, {reported} of {cuts}".format(**of_transnet),
            )
        console.print(table)


def _scores(row: dict[str, float] | None) -> str:
    return "" if row is None else f"{row['precision']:.3f} / {row['recall']:.3f} / {row['f1']:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shots", description="Evaluate shot detectors.")
    parser.add_argument("--minutes", type=float, default=60.0, help="of calm edits (default: %(default)g)")
    parser.add_argument("--fast-minutes", type=float, default=5.0, help="of either half of the fast edits")
    parser.add_argument("--real", action=argparse.BooleanOptionalAction, default=True, help="the real videos as well")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    parser.add_argument("--detectors", type=lambda text: text.split(","), default=sorted(DETECTORS))
    parser.add_argument("--fresh", action="store_true", help="ignore the results of earlier runs")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 220)
    figures = run(options, console)
    show(console, figures)
    OUT.mkdir(exist_ok=True)
    (OUT / "bench_shots.json").write_text(json.dumps({"seed": options.seed, "sets": figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
