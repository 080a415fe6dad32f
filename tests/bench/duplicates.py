"""Duplicates: recall by kind of edit, false pairs among clips that are only similar, and time by number of clips.

    python -m tests.bench.duplicates [--rows 10000,100000] [--edits] [--drawn 40]

`--edits` writes each real and synthetic clip and its twelve edited copies as files and fingerprints them as the single
pass does. `--rows` uses artificial fingerprints: random walks that stand for clips of 1 to 11 s. A third of them share
one of fifty backgrounds, one in ten has a copy that is trimmed, faster, mirrored and noisy, and one in a hundred starts
with the same leader.

The default distances of `[duplicates]` were tuned on the edits of the real clips and the first 40 synthetic ones.
Synthetic clips beyond these, as `--drawn 80` adds, were not tuned on.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.dedup.hashes import HashedClips
from pipeline.dedup.matching import match
from pipeline.dedup.search import near_pairs
from pipeline.synthetic.edited_copies import KINDS, edited_copy
from schemas.recipe.duplicates import DuplicatesConfig
from tests.bench.copies import as_table, fingerprints, write_drawn_clip, write_real_clips

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
STILL_BLOCK_LEVELS = 1.0
"""If the contrasts of two parts of a shot change by no more than this on average, both show the same still picture."""
NUM_BACKGROUNDS = 50
WIDE = DuplicatesConfig(near_distance=1.0, image_distance=1.0)


def bench_edits(console: Console, num_drawn: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        real = list(write_real_clips(VIDEOS, folder)) if VIDEOS.is_dir() else []
        sources = {"real": real, "drawn": [write_drawn_clip(folder, number) for number in range(num_drawn)]}
        rows: list[dict[str, Any]] = []
        halves: list[dict[str, Any]] = []
        for paths in sources.values():
            for path in paths:
                rows += fingerprints(path)
                halves += fingerprints(path, (0.5,))
                for kind in KINDS:
                    copy = edited_copy(kind, path, folder)
                    rows += fingerprints(copy)
                    copy.unlink()
    _show_recall(console, {part: [path.stem for path in paths] for part, paths in sources.items()}, rows)
    _show_alike(console, rows, halves)
    seconds = sum(row["duration_s"] for row in rows)
    kept = sum(len(row["video_hash_times_us"]) for row in rows)
    console.print(f"kept frames a second of video: {kept / seconds:.1f}, {76 * kept / seconds:.0f} bytes")


def _show_recall(console: Console, sources: dict[str, list[str]], rows: Sequence[dict[str, Any]]) -> None:
    """Show which copies are paired with their originals, among all originals and all copies of their kind."""
    clips = HashedClips.of(as_table(rows))
    number = {clip_id: index for index, clip_id in enumerate(clips.ids)}
    digests = {row["clip_id"]: row["content_digest"] for row in rows}
    originals = [row for row in rows if "." not in row["clip_id"]]
    table = Table("edit", *(f"{part}: found" for part in sources), "missed (distance)")
    totals: dict[str, list[bool]] = defaultdict(list)
    for kind in KINDS:
        copies = [row for row in rows if row["clip_id"].endswith(f".{kind}")]
        library = HashedClips.of(as_table([*originals, *copies]))
        pairs = {frozenset((pair.first, pair.second)) for pair in near_pairs(library, DuplicatesConfig())}
        found, missed = {}, []
        for part, stems in sources.items():
            hits = []
            for stem in stems:
                copy = f"{stem}.{kind}"
                hits.append(frozenset((stem, copy)) in pairs or digests[stem] == digests[copy])
                if not hits[-1]:
                    distance = match(clips, *sorted((number[stem], number[copy])), WIDE)
                    missed.append(f"{stem} ({distance.distance:.2f})" if distance else stem)
            found[part] = f"{sum(hits)}/{len(hits)}"
            totals[part] += hits
        table.add_row(kind, *found.values(), ", ".join(missed))
    table.add_row("all", *(f"{sum(hits)}/{len(hits)} = {np.mean(hits):.3f}" for hits in totals.values()), "")
    console.print(table)
    flat = {row["clip_id"] for row in originals if not row["video_hash"]}
    detailed = [
        hit
        for part, hits in totals.items()
        for hit, stem in zip(hits, sources[part] * len(KINDS), strict=True)
        if stem not in flat
    ]
    console.print(f"recall {np.mean([hit for hits in totals.values() for hit in hits]):.3f}")
    console.print(f"recall without clips too flat to hash: {np.mean(detailed):.3f}; those are", sorted(flat))


def _show_alike(console: Console, rows: Sequence[dict[str, Any]], halves: Sequence[dict[str, Any]]) -> None:
    """Show false pairs: copies of different clips, and the two halves of one moving shot."""
    groups = {
        "different clips and their copies": (rows, lambda one, other: one.split(".")[0] == other.split(".")[0]),
        "halves of shots": (halves, lambda one, other: one == other),
    }
    for name, (candidates, same) in groups.items():
        clips = HashedClips.of(as_table(candidates))
        false = [pair for pair in near_pairs(clips, DuplicatesConfig()) if not same(pair.first, pair.second)]
        still = [pair for pair in false if _is_still(clips, pair.first, pair.second)]
        moving = [f"{p.first} ~ {p.second} ({1 - p.similarity:.3f})" for p in false if p not in still]
        num_pairs = math.comb(len(clips), 2)
        console.print(f"{name}: {len(moving)} false of {num_pairs} pairs, {len(still)} more of still pictures", moving)


def _is_still(clips: HashedClips, first: str, second: str) -> bool:
    """Whether two parts of one shot show the same still picture, and so count as duplicates."""
    if first.split(" from ")[0] != second.split(" from ")[0]:
        return False
    frames = np.concatenate([clips.contrasts[clips.frames(clips.ids.index(name))] for name in (first, second)])
    return bool(np.abs(frames - frames.mean(axis=0)).mean() <= STILL_BLOCK_LEVELS)


def synthetic_clips(num_clips: int, seed: int) -> tuple[HashedClips, set[tuple[int, int]]]:
    """Artificial fingerprints of clips and of some copies, and the pairs of clip numbers that are copies."""
    random = np.random.default_rng(seed)
    contrasts, times, durations, planted = [], [], [], set()
    backgrounds = 25 * random.standard_normal((NUM_BACKGROUNDS, 64))
    leader = _walk(random, 4, None)
    while len(durations) < num_clips:
        num_frames = int(random.integers(8, 60))
        background = backgrounds[random.integers(NUM_BACKGROUNDS)] if random.random() < 1 / 3 else None
        frames = _walk(random, num_frames, background)
        if random.random() < 0.01:
            frames[: len(leader)] = leader
        seconds = np.cumsum(random.uniform(0.1, 0.25, num_frames)) - 0.1
        contrasts.append(frames)
        times.append(seconds)
        durations.append(seconds[-1] + 0.2)
        if random.random() < 0.1 and len(durations) < num_clips:
            copy, copy_times = _edited(random, frames, seconds)
            planted.add((len(durations) - 1, len(durations)))
            contrasts.append(copy)
            times.append(copy_times)
            durations.append(copy_times[-1] + 0.2)
    joined = np.concatenate(contrasts)
    starts = np.concatenate([[0], np.cumsum([len(frames) for frames in contrasts])])
    hashes = np.packbits(joined > 0, axis=1).view(">u8")[:, 0].astype(np.uint64)
    ids = [f"{number:08d}" for number in range(len(durations))]
    return HashedClips(
        ids, np.arange(len(ids)), np.array(durations), starts, hashes, joined, np.concatenate(times)
    ), planted


def _walk(random: np.random.Generator, num_frames: int, background: np.ndarray | None) -> np.ndarray:
    """Contrasts (T, 64) int8 that drift at a random speed; with a background they drift by half as much around it."""
    pace = random.choice([0.02, 0.1, 0.3])
    start, *steps = random.standard_normal((num_frames, 64))
    path = 25 * (start + pace * np.cumsum([np.zeros(64), *steps], axis=0))
    return np.clip(path if background is None else background + path / 2, -127, 127).astype(np.int8)


def _edited(random: np.random.Generator, frames: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A noisy copy, trimmed by up to a tenth at each end, sometimes a tenth faster, sometimes mirrored."""
    off = random.integers(0, max(len(frames) // 10, 1) + 1, 2)
    chosen = slice(off[0], len(frames) - off[1])
    copy = frames[chosen] + random.normal(0, 2.5, frames[chosen].shape)
    if random.random() < 0.3:
        copy = copy.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64)
    copy_times = (seconds[chosen] - seconds[off[0]]) / random.choice([1.0, 1.1])
    return np.clip(copy, -127, 127).astype(np.int8), copy_times


def _time_rows(num_clips: int) -> dict[str, float]:
    clips, planted = synthetic_clips(num_clips, seed=0)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, start_cpu = time.perf_counter(), time.process_time()
    found = {(int(pair.first), int(pair.second)) for pair in near_pairs(clips, DuplicatesConfig())}
    return {
        "clips": num_clips,
        "frames": len(clips.hashes),
        "planted": len(planted),
        "recall": len(found & planted) / len(planted),
        "false": len(found - planted),
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - start_cpu,
        "input_mib": before_mib,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def bench_rows(console: Console, counts: Sequence[int]) -> None:
    table = Table("clips", "frames", "planted", "recall", "false", "s", "CPU s", "input, MiB", "peak, MiB", "exponent")
    before = None
    for count in counts:
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a new process each, to measure its peak memory
            row = pool.apply(_time_rows, (count,))
        exponent = math.log(row["cpu"] / before["cpu"], row["clips"] / before["clips"]) if before else None
        table.add_row(
            *(f"{row[name]:.0f}" for name in ("clips", "frames", "planted")),
            f"{row['recall']:.4f}",
            *(f"{row[name]:.0f}" for name in ("false",)),
            *(f"{row[name]:.1f}" for name in ("seconds", "cpu")),
            *(f"{row[name]:.0f}" for name in ("input_mib", "peak_mib")),
            "" if exponent is None else f"{exponent:.2f}",
        )
        before = row
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="numbers of synthetic clips, with commas")
    parser.add_argument("--edits", action="store_true")
    parser.add_argument("--drawn", type=int, default=40, help="synthetic clips to edit")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=160)
    if arguments.edits:
        bench_edits(console, arguments.drawn)
    if arguments.rows:
        bench_rows(console, [int(count) for count in arguments.rows.split(",")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
