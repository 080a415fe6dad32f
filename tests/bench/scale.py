"""How long the driver takes, and how much memory, over made-up tables of many videos with ten clips each.

    python -m tests.bench.scale [--videos 1000,10000,100000] [--no-duplicates]

Measured, each in a process of its own: planning a run of which a thousandth of the inputs is new; judging all clips by
other rules and writing the decisions; grouping duplicates where a thousandth of the clips is new; writing the manifest;
the README's queries; and compaction, with the files before and after. No video is there and none is read. Frame hashes
are random, so that no clip matches another.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from pipeline.dedup.dataset import group_duplicates
from pipeline.ingest.inputs import COLUMNS
from pipeline.measure.registry import stream_fingerprints
from pipeline.release.releases import frozen_times
from pipeline.rules.clips import judge_clips
from pipeline.rules.decisions import write_decisions
from pipeline.store.compaction import compact
from pipeline.store.dataset import Dataset
from pipeline.store.manifest import write_manifest
from pipeline.store.pending_inputs import IDENTIFIED, InputStates
from pipeline.store.portions import bounded
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import CLIPS, MEASURES, VIDEOS, columns
from schemas.recipe import Recipe
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.rules import Rule

CLIPS_A_VIDEO, FRAMES_A_CLIP, VIDEOS_A_PART = 10, 8, 10_000
NEW_FRAC = 0.001
SPLIT = "s"
BOX = [0, 0, 1280, 720]
RECIPE = Recipe(
    rules={
        "min_motion": Rule("motion_px_s", "still", min=1.0),
        "min_brightness": Rule("brightness", "too_dark", min=0.1),
        "one_of_each": Rule("duplicate_rank", "duplicate", max=0),
    }
)
STRICTER = replace(RECIPE, rules=RECIPE.rules | {"min_motion": Rule("motion_px_s", "still", min=2.0)})


def write_videos(dataset: Dataset, first: int, end: int) -> None:
    """Rows of videos and their clips, a part for some thousand videos."""
    for start in range(first, end, VIDEOS_A_PART):
        numbers = np.arange(start, min(start + VIDEOS_A_PART, end))
        of_clips = np.repeat(numbers, CLIPS_A_VIDEO)
        places = np.tile(np.arange(CLIPS_A_VIDEO), len(numbers))
        rng = np.random.default_rng(start)
        num_clips = len(of_clips)
        hashes = rng.integers(0, 256, (num_clips, FRAMES_A_CLIP * 8), np.uint8)
        contrasts = rng.integers(0, 256, (num_clips, FRAMES_A_CLIP * 64), np.uint8)
        clips = {
            "clip_id": [f"c{video:09}{place:03}" for video, place in zip(of_clips, places, strict=True)],
            "video_id": [f"v{video:09}" for video in of_clips],
            "uri": [uri(video) for video in of_clips],
            "shot_index": places,
            "start_us": places * 2_000_000,
            "end_us": places * 2_000_000 + 1_900_000,
            "num_frames": np.full(num_clips, 48),
            "duration_s": np.full(num_clips, 1.9),
            "width": np.full(num_clips, 1280),
            "height": np.full(num_clips, 720),
            "content_box": [BOX] * num_clips,
            "split": [SPLIT] * num_clips,
            "measured": [json.dumps(stream_fingerprints(RECIPE.measure), sort_keys=True)] * num_clips,
            "motion_px_s": rng.exponential(3, num_clips),
            "brightness": rng.random(num_clips),
            "content_digest": [f"d{video:09}{place:03}" for video, place in zip(of_clips, places, strict=True)],
            "video_hash": [row.tobytes() for row in hashes],
            "video_hash_contrasts": [row.tobytes() for row in contrasts],
            "video_hash_times_us": [list(range(0, FRAMES_A_CLIP * 200_000, 200_000))] * num_clips,
        }
        videos = {
            "uri": [uri(video) for video in numbers],
            "video_id": [f"v{video:09}" for video in numbers],
            "file_bytes": numbers + 1_000_000,
            "modified_us": numbers,
            "status": ["probed"] * len(numbers),
            "split": [SPLIT] * len(numbers),
            "source": ["{}"] * len(numbers),
        }
        safety = {"clip_id": clips["clip_id"], "nsfw": rng.random(num_clips), "shown_box": [BOX] * num_clips}
        _write(dataset, MEASURES["safety"], safety)
        _write(dataset, CLIPS, clips)
        _write(dataset, VIDEOS, videos)


def uri(video: int) -> str:
    return f"s3://bucket/raw/{video:09}.mp4"


def _write(dataset: Dataset, table: columns.Table, values: dict) -> None:
    num_rows = len(next(iter(values.values())))
    fields = [field for field in table.schema if field.name not in ("run_id", "written_us")]
    given = {field.name: pa.array(values.get(field.name, _nothing(field, num_rows)), field.type) for field in fields}
    dataset.write_table(table, pa.table(given))


def _nothing(field: pa.Field, num_rows: int) -> list:
    """What a column holds that is not looked at."""
    empty = "" if pa.types.is_string(field.type) else [] if pa.types.is_list(field.type) else 0
    return [None if field.nullable else False if pa.types.is_boolean(field.type) else empty] * num_rows


def inputs(num_videos: int) -> pa.Table:
    numbers = np.arange(num_videos)
    return pa.table(
        {
            "uri": pa.array([uri(video) for video in numbers], COLUMNS["uri"]),
            "file_bytes": pa.array(numbers + 1_000_000, COLUMNS["file_bytes"]),
            "modified_us": pa.array(numbers, COLUMNS["modified_us"]),
            "source": pa.array(["{}"] * num_videos, COLUMNS["source"]),
            "num_failures": pa.array(np.zeros(num_videos), COLUMNS["num_failures"]),
        }
    )


def plan(dataset: Dataset, num_videos: int) -> None:
    listed = inputs(num_videos + max(round(num_videos * NEW_FRAC), 1))
    states = InputStates(dataset, listed, SPLIT, Retrying("now"))
    assert not states.to_identify()
    pending = states.pending(IDENTIFIED.empty_table())
    assert len(pending.to_scan) == listed.num_rows - num_videos
    pending.to_scan.delete()


def judge(dataset: Dataset, num_videos: int) -> None:
    assert write_decisions(dataset, judge_clips(bounded(dataset), RECIPE), RECIPE) == num_videos * CLIPS_A_VIDEO


def rejudge(dataset: Dataset, num_videos: int) -> None:
    assert write_decisions(dataset, judge_clips(bounded(dataset), STRICTER), STRICTER)


def group(dataset: Dataset, num_videos: int) -> None:
    group_duplicates(dataset, DuplicatesConfig())


def group_new(dataset: Dataset, num_videos: int) -> None:
    group_duplicates(dataset, DuplicatesConfig())


def manifest(dataset: Dataset, num_videos: int) -> None:
    write_manifest(dataset)


def query_reasons(dataset: Dataset, num_videos: int) -> None:
    assert connect(dataset).execute("from reject_reasons").fetchall()


def query_manifest(dataset: Dataset, num_videos: int) -> None:
    path = f"{dataset.location}/manifest/clips.parquet"
    counts = duckdb.connect().execute(f"select status, count(*) from '{path}' group by 1").fetchall()
    assert sum(count for _, count in counts) >= num_videos * CLIPS_A_VIDEO


def fold(dataset: Dataset, num_videos: int) -> None:
    assert list(compact(dataset, frozen_times(dataset)))


STEPS: dict[str, Callable[[Dataset, int], None]] = {
    "group duplicates, all clips new": group,
    "judge, all clips new": judge,
    "plan, a thousandth of the inputs new": plan,
    "judge by other rules": rejudge,
    "write the manifest": manifest,
    "query: reasons (view)": query_reasons,
    "query: statuses (manifest)": query_manifest,
    "group duplicates, a thousandth new": group_new,
    "compact": fold,
}


def _timed(name: str, location: str, num_videos: int) -> tuple[float, float, float]:
    """Seconds, seconds of a processor, and the largest memory of the process in MiB."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    STEPS[name](Dataset(location, run_id="bench"), num_videos)
    seconds = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    return *seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(num_videos: int, names: Sequence[str]) -> Iterator[tuple[str, float, float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset(folder, run_id="bench")
        write_videos(dataset, 0, num_videos)
        for name in names:
            if name == "group duplicates, a thousandth new":
                write_videos(dataset, num_videos, num_videos + max(round(num_videos * NEW_FRAC), 1))
            if name == "compact":
                yield f"{_files(folder)} before", 0.0, 0.0, 0.0
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                yield name, *pool.apply(_timed, (name, folder, num_videos))
        yield f"{_files(folder)} after", 0.0, 0.0, 0.0


def _files(folder: str) -> str:
    files = list(Path(folder).rglob("*.parquet"))
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 2**20:.0f} MiB"


def bench(console: Console, counts: Sequence[int], names: Sequence[str] = tuple(STEPS)) -> None:
    for num_videos in counts:
        columns = ("step", "s", "CPU s", "largest process, MiB")
        table = Table(*columns, title=f"{num_videos:,} videos", title_justify="left")
        for name, seconds, cpu_s, mib in measured(num_videos, names):
            print(f"{num_videos:,} videos: {name}: {seconds:.1f} s, {mib:.0f} MiB", file=sys.stderr, flush=True)
            table.add_row(name, *((f"{seconds:.1f}", f"{cpu_s:.1f}", f"{mib:.0f}") if seconds else ()))
        console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", default="1000,10000")
    parser.add_argument("--no-duplicates", action="store_true", help="leave out what takes longest")
    options = parser.parse_args()
    names = [name for name in STEPS if not (options.no_duplicates and "duplicates" in name)]
    bench(Console(highlight=False, width=100), [int(count) for count in options.videos.split(",")], names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
