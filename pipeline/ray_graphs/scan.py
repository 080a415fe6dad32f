"""The graphs that read inputs: their bytes to hashes, and one pass over each video to rows of `videos` and `clips`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray.data

from pipeline.decode.clip_frames import limits_of
from pipeline.ingest.failures import Failure
from pipeline.ingest.identify import video_id_of
from pipeline.ingest.inputs import ListedInput
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.ray_graphs.cluster import SMALL_CPU, ActorReporter, decode_cpus, output, planned, video_rows
from pipeline.ray_graphs.memory import IDENTIFYING, READING, fitted, scan_need
from pipeline.scan.scan import ScanConfig, failed_scan, scan
from pipeline.store.plans import Plan
from pipeline.store.run_statistics import timed
from schemas import CLIPS, VIDEOS
from schemas.recipe import Recipe
from schemas.recipe.limits import LimitsConfig


@dataclass(frozen=True)
class Scanning:
    """One input to its rows, read in a process of its own."""

    config: ScanConfig
    limits: LimitsConfig
    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for listed in video_rows(row):
            with timed(self.report, "scan") as work:
                listed = ListedInput(**listed)
                try:
                    result = isolated(limits_of(self.limits), scan, listed, self.config)
                except ChildDied as death:
                    result = failed_scan(listed, Failure.of(death), self.config.max_failures)
                work.rows = 1
                work.num_bytes = result.video["file_bytes"]
                work.count("frames", result.video["num_frames"] or 0)
                work.count("videos " + result.video["status"])
                work.count("clips", len(result.clips))
            yield output({CLIPS: CLIPS.unstamped(result.clips), VIDEOS: VIDEOS.unstamped([result.video])})


@dataclass(frozen=True)
class Identifying:
    """The hash of an input's bytes."""

    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with timed(self.report, "identify") as work:
            uris = [listed["uri"] for listed in video_rows(row)]
            work.rows = len(uris)
            yield output([{"uri": uri, "video_id": video_id_of(uri)} for uri in uris])


def identify_graph(inputs: Plan, report: ActorReporter) -> ray.data.Dataset:
    """Inputs -> the hash of the bytes of each; null where they cannot be read."""
    reading, identifying = fitted(READING, IDENTIFYING)
    return planned(inputs, reading).flat_map(Identifying(report), num_cpus=SMALL_CPU, memory=identifying)


def scan_graph(inputs: Plan, recipe: Recipe, report: ActorReporter) -> ray.data.Dataset:
    """Inputs -> rows of `videos` and `clips`, as they come."""
    reading, scanning = fitted(READING, scan_need(recipe.limits))
    one = Scanning(ScanConfig.of(recipe), recipe.limits, report)
    return planned(inputs, reading).flat_map(one, num_cpus=decode_cpus(), memory=scanning)
