"""How much overlaid text is found: `python -m tests.bench.overlay_text [--clips N] [--clean N] [--seed N]`.

A clip is a list of frames at the times that the pipeline samples. Known text is painted on them, and they are
compressed as JPEG, which stands for the noise of a codec. Text counts as found if the measured area of overlaid text is
at least half of the painted area.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipeline.measure.clip.overlay_text.measure import OverlayTextMeasure, pair_times_us
from pipeline.synthetic.lettering import KINDS, OVERLAY_KINDS, SCRIPTS, Lettered, letter, stamp_logo
from schemas.recipe.overlay_text import OverlayTextConfig
from tests.bench.overlay_backgrounds import VIDEOS, drawn_clip, real_clip, texture_clip

SIZES_PX = (12, 16, 24, 40, 64)
PICTURES = ((320, 180), (320, 180), (640, 360), (640, 360), (640, 360), (1280, 720))
LARGEST_FOR_HEIGHT = 0.25
"""The height of letters is at most this share of the picture's height."""
JPEG_QUALITY = (60, 92)
REAL_EVERY = 3


@dataclass(frozen=True)
class Case:
    """One clip of the bench: what was painted, what was measured, and how long that took."""

    background: str
    size_px: int
    script: str
    width: int
    kind: str
    alpha: float
    area_frac: float
    row: dict[str, Any]
    cost_s: float

    @property
    def found(self) -> bool:
        return self.row["overlay_text_frac"] >= 0.5 * self.area_frac


def backgrounds() -> dict[str, Callable[[int, int, int, Sequence[float]], np.ndarray]]:
    """Functions that make backgrounds, by name; without real footage if there is none."""
    made = {"texture": texture_clip, "drawn": drawn_clip}
    return made | ({"real": real_clip} if VIDEOS.is_dir() else {})


def compressed(frames: np.ndarray, quality: int) -> np.ndarray:
    """Frames after JPEG compression."""
    return np.stack([_jpeg(frame, quality) for frame in frames])


def run_case(measure: OverlayTextMeasure, seed: int, kind: str | None, only: str | None = None) -> Case:
    """Make and measure one clip; `kind` is one of KINDS, 'logo', or None for a clip without text."""
    rng = random.Random(f"case-{kind}-{seed}")
    names = list(backgrounds())
    background = only or names[seed % len(names)]
    width, height = rng.choice(PICTURES)
    times_s = [t * 1e-6 for t in pair_times_us(0, round(rng.uniform(2, 6) * 1e6), OverlayTextConfig())]
    frames = backgrounds()[background](seed, width, height, times_s)
    script = SCRIPTS[seed // len(names) % len(SCRIPTS)]
    size_px = rng.choice([size for size in SIZES_PX if size <= LARGEST_FOR_HEIGHT * height])
    painted: Lettered | None = None
    if kind == "logo":
        painted = stamp_logo(frames, max(round(rng.uniform(0.08, 0.18) * height), 16), rng.uniform(0.5, 1), seed)
    elif kind is not None:
        painted = letter(frames, times_s, kind, script, size_px, seed)
    frames = compressed(painted.frames if painted else frames, rng.randint(*JPEG_QUALITY))
    begin = time.process_time()
    row = measure.measure(frames, times_s)
    cost_s = time.process_time() - begin
    alpha, area_frac = (painted.alpha, painted.area_frac) if painted else (0.0, 0.0)
    return Case(background, size_px, script, width, kind or "none", alpha, area_frac, row, cost_s)


def found_table(title: str, cases: Sequence[Case], key: Callable[[Case], object]) -> Table:
    table = Table(title, "clips", "found", "share")
    groups: dict[Any, list[bool]] = defaultdict(list)
    for case in cases:
        groups[key(case)].append(case.found)
    for name, hits in sorted(groups.items()):
        table.add_row(str(name), str(len(hits)), str(sum(hits)), f"{np.mean(hits):.3f}")
    return table


def confusion_table(cases: Sequence[Case]) -> Table:
    measured = ("none", *OVERLAY_KINDS)
    table = Table("painted \\ measured", *measured, "scene text too")
    for kind in KINDS:
        of_kind = [c for c in cases if c.kind == kind]
        counts = Counter(c.row["overlay_kind"] for c in of_kind)
        num_scene_text = sum(c.row["scene_text_frac"] > 0 for c in of_kind)
        table.add_row(kind, *(str(counts[name]) for name in measured), str(num_scene_text))
    return table


def clean_table(cases: Sequence[Case]) -> Table:
    table = Table("clips without overlaid text", "clips", "overlaid text", "scene text", "logo")
    for name in [*backgrounds(), "all"]:
        rows = [c.row for c in cases if name in (c.background, "all")]
        alarms = (sum(r[column] > 0 for r in rows) for column in ("overlay_text_frac", "scene_text_frac", "logo_frac"))
        table.add_row(name, str(len(rows)), *(str(count) for count in alarms))
    return table


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def report(console: Console, cases: Sequence[Case], *, misses: bool) -> None:
    """Print the tables of all cases, and with `misses` each case with a wrong result."""
    over, scene, logos, clean = (
        [case for case in cases if case.kind in kinds]
        for kinds in (OVERLAY_KINDS, ("scene text",), ("logo",), ("none",))
    )
    keys: dict[str, Callable[[Case], object]] = {
        "script": lambda c: c.script,
        "size": lambda c: c.size_px,
        "kind": lambda c: c.kind,
        "background": lambda c: c.background,
        "width": lambda c: c.width,
        "all": lambda c: "overlays",
    }
    for title, key in keys.items():
        console.print(found_table(title, over, key))
    console.print(confusion_table([*over, *scene]), clean_table([*clean, *scene]))
    logo_hits = sum(c.row["logo_frac"] + c.row["overlay_text_frac"] > 0 for c in logos)
    console.print(f"logos found: {logo_hits} of {len(logos)}, still pictures included")
    for width in sorted({c.width for c in cases}):
        costs = [c.cost_s for c in cases if c.width == width]
        console.print(f"{width} px wide: {np.mean(costs):.2f} s of CPU a clip, at most {max(costs):.2f}")
    for case in cases if misses else ():
        if case.kind in OVERLAY_KINDS and not case.found:
            what = f"{case.kind} {case.script} {case.size_px} px alpha {case.alpha:.2f}"
            console.print(f"missed {what} over {case.background} {case.width} px: {case.row}")
        elif case.kind in ("none", "scene text") and case.row["overlay_text_frac"] + case.row["logo_frac"] > 0:
            console.print(f"false over {case.background} {case.width} px, {case.kind}: {case.row}")


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description="Measure how much overlaid text is found.")
    parser.add_argument(
        "--clips", type=int, default=252, metavar="N", help="clips with overlays (default: %(default)s)"
    )
    parser.add_argument("--clean", type=int, default=180, metavar="N", help="clips without (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5000, metavar="N", help="the first clip's (default: %(default)s)")
    parser.add_argument("--misses", action="store_true", help="list the clips with a wrong result")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    measure = OverlayTextMeasure()
    plan = [OVERLAY_KINDS[index * len(OVERLAY_KINDS) // options.clips] for index in range(options.clips)]
    plan += ["scene text", "logo"] * (options.clips // 8) + [None] * options.clean
    cases = [run_case(measure, options.seed + index, kind) for index, kind in enumerate(track(plan))]
    report(Console(width=120), cases, misses=options.misses)


if __name__ == "__main__":
    main()
