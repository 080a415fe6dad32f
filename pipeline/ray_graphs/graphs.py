"""Ray at the edge: the graphs of curation and encoding, and how this process reaches a cluster.

Each graph streams. Rows between operators carry JSON text or pickled rows and, where models look, a few reduced frames;
never a file's bytes. Writers write as rows pass through, so what is in the tables is always whole, and a run that is
killed goes on from there. Between the graphs of a curation the driver judges (`jobs/steps/curation.py`).

    inputs -> scan -> write videos, clips
    clips still in -> read frames, overlay text -> embedding, heads -> write measures, embeddings

That of captions is in `pipeline/ray_graphs/caption.py`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data
from ray.actor import ActorHandle
from ray.util.debug import disable_log_once_globally

from pipeline.decode.clip_frames import limits_of
from pipeline.encode.run import LatentWriting, PlannedFrames, TextWriting
from pipeline.ingest.inputs import ListedInput
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.measure.clip.run import ClipMeasureWriter, ClipModels, Reading
from pipeline.scan.remeasure import write_remeasured
from pipeline.scan.scan import ScanConfig, failed_scan, scan
from pipeline.store.dataset import Dataset, new_rows
from pipeline.store.pending import PendingInputs, Remeasuring
from pipeline.store.run_statistics import RunStatistics, timed
from schemas import CLIPS, EMBEDDINGS, VIDEOS
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.limits import LimitsConfig

# Logical CPUs. One of each operator must fit on two CPUs at once, or a stage waits for ever for one that waits for it:
# 0.5 + 0.1 + 0.5 + 2 x 0.25 + 0.1 = 1.7. Less for decoding would start more workers than two CPUs feed. On a larger
# machine a decoding task is given a whole CPU, as it uses one.
SMALL_DECODE_CPU, SMALL_CPU, WRITER_CPU = 0.5, 0.25, 0.1
LARGE_CLUSTER_CPUS = 4
MAX_BLOCKS = 10_000
ENCODE_BATCH, TEXT_BATCH, CLIP_MEASURE_BATCH = 32, 256, 8
"""Rows of a part file of latents, of texts and of measures."""


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names, as a Ray job sets it; without, start one of this machine's own.

    A cluster that merely happens to run here is left alone.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    disable_log_once_globally()
    for name in ("ray.data", "ray._private.authentication"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with _native_remarks_hidden():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


@contextmanager
def _native_remarks_hidden() -> Iterator[None]:
    """Keep what Ray's native code remarks about itself off the screen; failures still arrive as exceptions.

    Only the environment turns those remarks off, and that it was set is itself remarked upon while Ray starts.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    saved = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(silent)


def decode_cpus() -> float:
    """Logical CPUs of a task that decodes. A cluster that has no CPU yet is one that grows with its work."""
    return SMALL_DECODE_CPU if 0 < ray.cluster_resources().get("CPU", 0) < LARGE_CLUSTER_CPUS else 1.0


@dataclass(frozen=True)
class ActorReporter:
    """Reports to the actor that holds the run statistics and waits for it, so that the totals are whole once a graph
    has ended."""

    actor: ActorHandle

    def __call__(self, stage: str, rows: int, seconds: float, num_bytes: int, counts: dict[str, int]) -> None:
        ray.get(self.actor.add.remote(stage, rows, seconds, num_bytes, counts))


def start_statistics() -> ActorHandle:
    return cast(ActorHandle, ray.remote(num_cpus=0)(RunStatistics).remote())


def read_statistics(statistics: ActorHandle) -> dict[str, dict[str, Any]]:
    return cast(dict[str, dict[str, Any]], ray.get(statistics.totals.remote()))


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


NOTHING = pa.table({"done": pa.array([], pa.int8())})
"""What a writer passes on."""


def scan_graph(dataset: Dataset, pending: PendingInputs, recipe: Recipe, report: ActorReporter) -> ray.data.Dataset:
    """Inputs -> rows of `videos` and `clips`, written as they come."""
    rows = [{"listed": json.dumps(asdict(listed))} for listed in pending.inputs]
    scanned = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).map(
        Scanning(ScanConfig.of(recipe), recipe.limits, report), num_cpus=decode_cpus()
    )
    writer = ScanWriter(dataset, pending.orphans, report)
    videos_per_part = min(64, math.ceil(len(rows) / 16))
    return scanned.map_batches(writer, batch_size=videos_per_part, batch_format="pyarrow", num_cpus=WRITER_CPU)


@dataclass(frozen=True)
class MeasuringAgain:
    """Take measures of the decode pass again and write them."""

    dataset: Dataset
    recipe: Recipe
    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        work_wanted: Remeasuring = pickle.loads(row["remeasuring"])
        with timed(self.report, "remeasure") as work:
            write_remeasured(self.dataset, work_wanted, self.recipe)
            work.rows = 1
            work.count("clips measured again", len(work_wanted.clips))
        return {"done": 1}


def remeasure_graph(
    dataset: Dataset, wanted: Sequence[Remeasuring], recipe: Recipe, report: ActorReporter
) -> ray.data.Dataset:
    """Videos -> rows of `measures/`, written as they come."""
    rows = [{"remeasuring": pickle.dumps(one)} for one in wanted]
    items = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS))
    return items.map(MeasuringAgain(dataset, recipe, report), num_cpus=decode_cpus())


def clip_measure_graph(
    dataset: Dataset,
    clips: Sequence[Mapping[str, Any]],
    recipe: Recipe,
    fingerprints: Mapping[str, str],
    report: ActorReporter,
) -> ray.data.Dataset:
    """Clips -> frames -> overlay text -> embedding and heads -> rows of `measures/` and `embeddings`."""
    readers = max(1, min(len(clips), int(ray.cluster_resources().get("CPU", 1))))
    graph = clip_items(clips, len(clips)).map(
        cast(Any, Reading),
        fn_constructor_args=(recipe, report),
        compute=ray.data.ActorPoolStrategy(size=readers),
        num_cpus=decode_cpus(),
    )
    uses_gpu = any(c.device.startswith("cuda") for c in (recipe.embedding, recipe.aesthetic, recipe.safety))
    graph = graph.map_batches(
        ClipModels,
        fn_constructor_args=(recipe, report),
        batch_size=CLIP_MEASURE_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
        num_gpus=1 if uses_gpu else 0,
    )
    waiting = {clip["clip_id"] for clip in clips}
    present = frozenset(key for key in dataset.keys(EMBEDDINGS) if key[0] in waiting)
    writer = ClipMeasureWriter(dataset, fingerprints, present, report)
    return graph.map_batches(writer, batch_size=CLIP_MEASURE_BATCH, batch_format="pyarrow", num_cpus=WRITER_CPU)


def clip_items(clips: Sequence[Mapping[str, Any]], num_blocks: int) -> ray.data.Dataset:
    """Clips as rows of a graph, in blocks made here: a repartition would be tasks that ask for a whole CPU each, and
    wait for ever on two CPUs of which actors hold more than one."""
    rows = [{"clip": json.dumps(clip)} for clip in clips]
    return ray.data.from_items(rows, override_num_blocks=min(max(1, num_blocks), MAX_BLOCKS))


def drain(graph: ray.data.Dataset) -> None:
    """Run a graph to its end; its rows have been written on the way."""
    for _ in graph.iter_batches(batch_size=None, batch_format="pyarrow"):
        pass


def latent_graph(
    dataset: Dataset, clips: Sequence[Mapping[str, Any]], config: EncodeConfig, report: ActorReporter
) -> ray.data.Dataset:
    """Released clips -> frames -> latents, written as they come."""
    graph = clip_items(clips, len(clips)).map(PlannedFrames(config, report), num_cpus=decode_cpus())
    return graph.map_batches(
        LatentWriting,
        fn_constructor_args=(dataset, config, report),
        batch_size=ENCODE_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
    )


def text_graph(dataset: Dataset, texts: Sequence[str], config: EncodeConfig, report: ActorReporter) -> ray.data.Dataset:
    """Texts -> token embeddings, written as they come."""
    return ray.data.from_arrow(pa.table({"text": pa.array(texts, pa.string())})).map_batches(
        TextWriting,
        fn_constructor_args=(dataset, config, report),
        batch_size=TEXT_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
    )
