"""The graphs that read inputs: their bytes to hashes, and one pass over each video to rows of `videos` and `clips`."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import ray.data

from pipeline.decode.clip_frames import limits_of
from pipeline.ingest.failures import Failure
from pipeline.ingest.identify import video_id_of
from pipeline.ingest.inputs import ListedInput
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.ray_graphs.cluster import NOTHING, SMALL_CPU, WRITER_CPU, ActorReporter, decode_cpus, from_rows
from pipeline.scan.scan import ScanConfig, failed_scan, scan
from pipeline.store.dataset import Dataset
from pipeline.store.run_statistics import timed
from schemas import CLIPS, VIDEOS
from schemas.recipe import Recipe
from schemas.recipe.limits import LimitsConfig

MAX_PART_VIDEOS, MIN_PARTS = 64, 16
"""Videos of one part file: fewer where there are few, so that a killed run has written most of what it scanned."""


@dataclass(frozen=True)
class Scanning:
    """One input to its rows, read in a process of its own."""

    config: ScanConfig
    limits: LimitsConfig
    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        listed = ListedInput(**json.loads(row["listed"]))
        with timed(self.report, "scan") as work:
            try:
                result = isolated(limits_of(self.limits), scan, listed, self.config)
            except ChildDied as death:
                result = failed_scan(listed, Failure.of(death))
            work.rows = 1
            work.num_bytes = result.video["file_bytes"]
            work.count("frames", result.video["num_frames"] or 0)
            work.count("videos " + result.video["status"])
            work.count("clips", len(result.clips))
        return {"scanned": pickle.dumps(result)}


@dataclass(frozen=True)
class ScanWriter:
    """Write clips, then videos (a video's row says that all its clips are there)."""

    dataset: Dataset
    report: ActorReporter

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self.report, "write") as work:
            results = [pickle.loads(data) for data in batch["scanned"].to_pylist()]
            videos, clips = [r.video for r in results], [clip for r in results for clip in r.clips]
            self.dataset.write_part(CLIPS, clips)
            self.dataset.write_part(VIDEOS, videos)
            work.rows = len(videos) + len(clips)
            work.count("videos written", len(videos))
        return NOTHING


@dataclass(frozen=True)
class Identifying:
    """The hash of an input's bytes."""

    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with timed(self.report, "identify") as work:
            work.rows = 1
            return {"uri": row["uri"], "video_id": video_id_of(row["uri"]) or ""}


def identify_graph(inputs: Sequence[ListedInput], report: ActorReporter) -> ray.data.Dataset:
    """Inputs -> the hash of the bytes of each; empty where they cannot be read."""
    return from_rows([{"uri": listed.uri} for listed in inputs]).map(Identifying(report), num_cpus=SMALL_CPU)


def scan_graph(
    dataset: Dataset, inputs: Sequence[ListedInput], recipe: Recipe, report: ActorReporter
) -> ray.data.Dataset:
    """Inputs -> rows of `videos` and `clips`, written as they come."""
    rows = [{"listed": json.dumps(asdict(listed))} for listed in inputs]
    scanned = from_rows(rows).map(Scanning(ScanConfig.of(recipe), recipe.limits, report), num_cpus=decode_cpus())
    writer = ScanWriter(dataset, report)
    videos_per_part = min(MAX_PART_VIDEOS, math.ceil(len(rows) / MIN_PARTS))
    return scanned.map_batches(writer, batch_size=videos_per_part, batch_format="pyarrow", num_cpus=WRITER_CPU)
