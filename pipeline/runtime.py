"""Ray at the edge: the curation graph, and how this process reaches a cluster.

One streaming graph. Rows between operators carry JSON text and, once, the few reduced frames that models look at; never
a file's bytes. Two operators write as rows pass through: clips and videos first, captions last. So what is in the
tables is always whole, and a run that is killed goes on from there.

    inputs -> scan -> write clips, videos -> kept clips -> frames -> caption -> embed -> write captions
                                                 ^
                     kept clips of earlier runs that have no caption yet
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data
from ray.actor import ActorHandle
from ray.util.debug import disable_log_once_globally

from pipeline.captioning import Captioning, CaptionWriter, FrameSampling, SimilarityScoring
from pipeline.dataset import Dataset, new_rows
from pipeline.encoding import LatentWriting, PlannedFrames, TextWriting
from pipeline.ledger import Ledger, timed
from pipeline.listing import ListedInput
from pipeline.resume import Pending
from pipeline.stages.scan import ScanConfig, scan
from schemas import CLIPS, VIDEOS
from schemas.clips import KEPT
from schemas.recipe import EncodeConfig, Recipe

# Logical CPUs. One of each operator must fit on two CPUs at once, or a stage waits for ever for one that waits for it:
# 0.5 + 0.1 + 0.5 + 2 x 0.25 + 0.1 = 1.7. Less for decoding would start more workers than two CPUs feed. On a larger
# machine a decoding task is given a whole CPU, as it uses one.
SMALL_DECODE_CPU, SMALL_CPU, WRITER_CPU = 0.5, 0.25, 0.1
LARGE_CLUSTER_CPUS = 4
MAX_BLOCKS = 10_000
ENCODE_BATCH, TEXT_BATCH = 32, 256
"""Rows of a part file of latents and of texts."""


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
    """Reports to the ledger's actor and waits for it, so that the totals are whole once a graph has ended."""

    actor: ActorHandle

    def __call__(self, stage: str, rows: int, seconds: float, num_bytes: int, counts: dict[str, int]) -> None:
        ray.get(self.actor.add.remote(stage, rows, seconds, num_bytes, counts))


def start_ledger() -> ActorHandle:
    return cast(ActorHandle, ray.remote(num_cpus=0)(Ledger).remote())


def read_ledger(ledger: ActorHandle) -> dict[str, dict[str, Any]]:
    return cast(dict[str, dict[str, Any]], ray.get(ledger.totals.remote()))


@dataclass(frozen=True)
class Scanning:
    """One input to its rows, as JSON."""

    config: ScanConfig
    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with timed(self.report, "scan") as work:
            result = scan(ListedInput(**json.loads(row["listed"])), self.config)
            work.rows = 1
            work.num_bytes = result.video["file_bytes"]
            work.count("frames", result.video["num_frames"] or 0)
            work.count("videos " + result.video["status"])
            for clip in result.clips:
                work.count("clips " + clip["status"])
        return {"video": json.dumps(result.video), "clips": json.dumps(result.clips)}


@dataclass(frozen=True)
class ScanWriter:
    """Write clips, then videos (a video's row says that all its clips are there); pass the kept clips on."""

    dataset: Dataset
    orphans: frozenset[tuple]
    """Keys of clips that a killed run wrote without their video's row."""
    report: ActorReporter

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self.report, "write") as work:
            videos = [json.loads(text) for text in batch["video"].to_pylist()]
            clips = [clip for text in batch["clips"].to_pylist() for clip in json.loads(text)]
            self.dataset.write_part(CLIPS, new_rows(clips, CLIPS, set(self.orphans)))
            self.dataset.write_part(VIDEOS, new_rows(videos, VIDEOS, set()))
            work.rows = len(videos) + len(clips)
            work.count("videos written", len(videos))
        return clip_rows(clip for clip in clips if clip["status"] == KEPT)


def clip_rows(clips: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Clips as rows of the graph."""
    return pa.table({"clip": pa.array([json.dumps(clip) for clip in clips], pa.string())})


def curation_graph(dataset: Dataset, pending: Pending, recipe: Recipe, report: ActorReporter) -> ray.data.Dataset:
    """The graph over the inputs still to be scanned and the clips still to be captioned; nothing runs yet."""
    inputs, uncaptioned = pending.inputs, pending.uncaptioned
    parts: list[ray.data.Dataset] = []
    if inputs:
        rows = [{"listed": json.dumps(asdict(listed))} for listed in inputs]
        videos_per_part = min(64, math.ceil(len(inputs) / 16))
        scanned = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).map(
            Scanning(ScanConfig.of(recipe), report), num_cpus=decode_cpus()
        )
        writer = ScanWriter(dataset, pending.orphans, report)
        parts.append(
            scanned.map_batches(writer, batch_size=videos_per_part, batch_format="pyarrow", num_cpus=WRITER_CPU)
        )
    if uncaptioned:
        parts.append(ray.data.from_arrow(clip_rows(uncaptioned)).repartition(max(1, len(uncaptioned) // 16)))
    graph = parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]
    return graph if recipe.caption.backend == "none" else _with_captions(graph, dataset, pending, recipe, report)


def _with_captions(
    graph: ray.data.Dataset, dataset: Dataset, pending: Pending, recipe: Recipe, report: ActorReporter
) -> ray.data.Dataset:
    batch = recipe.caption.batch_clips
    actors = ray.data.ActorPoolStrategy(size=recipe.caption.num_actors)
    graph = graph.map(FrameSampling(recipe.frames, report), num_cpus=decode_cpus())
    graph = graph.map_batches(
        Captioning,
        fn_constructor_args=(recipe.caption, report),
        batch_size=batch,
        batch_format="pyarrow",
        compute=actors,
        num_cpus=SMALL_CPU,
        num_gpus=recipe.caption.num_gpus,
    )
    graph = graph.map_batches(
        SimilarityScoring,
        fn_constructor_args=(recipe.embedding, report),
        batch_size=batch,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
    )
    writer = CaptionWriter(dataset, recipe, pending.embedded, report)
    return graph.map_batches(writer, batch_size=batch, batch_format="pyarrow", num_cpus=WRITER_CPU)


def drain(graph: ray.data.Dataset) -> None:
    """Run a graph to its end; its rows have been written on the way."""
    for _ in graph.iter_batches(batch_size=None, batch_format="pyarrow"):
        pass


def latent_graph(
    dataset: Dataset, clips: Sequence[Mapping[str, Any]], config: EncodeConfig, report: ActorReporter
) -> ray.data.Dataset:
    """Released clips -> frames -> latents, written as they come."""
    rows = clip_rows(clips)
    graph = ray.data.from_arrow(rows).repartition(min(len(clips), MAX_BLOCKS))
    graph = graph.map(PlannedFrames(config, report), num_cpus=decode_cpus())
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
