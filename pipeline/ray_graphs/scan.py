"""The graph that scans: inputs -> one pass over each video -> rows of `videos` and `clips`."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import ray.data

from pipeline.decode.clip_frames import limits_of
from pipeline.ingest.inputs import ListedInput
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.ray_graphs.cluster import NOTHING, WRITER_CPU, ActorReporter, decode_cpus, from_rows
from pipeline.scan.scan import ScanConfig, failed_scan, scan
from pipeline.store.dataset import Dataset, new_rows
from pipeline.store.pending import PendingInputs
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
                result = failed_scan(listed, death.reason, death.detail)
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
    orphans: frozenset[tuple]
    """Keys of clips that a killed run wrote without their video's row."""
    report: ActorReporter

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self.report, "write") as work:
            results = [pickle.loads(data) for data in batch["scanned"].to_pylist()]
            videos, clips = [r.video for r in results], [clip for r in results for clip in r.clips]
            self.dataset.write_part(CLIPS, new_rows(clips, CLIPS, set(self.orphans)))
            self.dataset.write_part(VIDEOS, new_rows(videos, VIDEOS, set()))
            work.rows = len(videos) + len(clips)
            work.count("videos written", len(videos))
        return NOTHING


def scan_graph(dataset: Dataset, pending: PendingInputs, recipe: Recipe, report: ActorReporter) -> ray.data.Dataset:
    """Inputs -> rows of `videos` and `clips`, written as they come."""
    rows = [{"listed": json.dumps(asdict(listed))} for listed in pending.inputs]
    scanned = from_rows(rows, len(rows)).map(
        Scanning(ScanConfig.of(recipe), recipe.limits, report), num_cpus=decode_cpus()
    )
    writer = ScanWriter(dataset, pending.orphans, report)
    videos_per_part = min(MAX_PART_VIDEOS, math.ceil(len(rows) / MIN_PARTS))
    return scanned.map_batches(writer, batch_size=videos_per_part, batch_format="pyarrow", num_cpus=WRITER_CPU)
