"""The graphs that measure: stream measures taken again, and clip measures.

videos -> one pass over each -> write measures
clips still in -> read frames, overlay text -> embedding, heads -> write measures, embeddings
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import ray
import ray.data

from pipeline.measure.clip_measures import ClipMeasureWriter, ClipModels, ClipReader
from pipeline.measure.registry import uses_gpu
from pipeline.ray_graphs.cluster import SMALL_CPU, WRITER_CPU, ActorReporter, decode_cpus, from_rows, video_items
from pipeline.scan.remeasure import write_remeasured
from pipeline.store.dataset import Dataset
from pipeline.store.pending import PendingStreamMeasures
from pipeline.store.run_statistics import timed
from schemas.recipe import Recipe

CLIP_MEASURE_BATCH = 8
"""Clips that a model is shown together, and rows of a part file of measures."""


@dataclass(frozen=True)
class MeasuringAgain:
    """Take stream measures of one video's clips again and write them."""

    dataset: Dataset
    recipe: Recipe
    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        pending: PendingStreamMeasures = pickle.loads(row["pending"])
        with timed(self.report, "remeasure") as work:
            write_remeasured(self.dataset, pending, self.recipe)
            work.rows = 1
            work.count("clips measured again", len(pending.clips))
        return {"done": 1}


def remeasure_graph(
    dataset: Dataset, pending: Sequence[PendingStreamMeasures], recipe: Recipe, report: ActorReporter
) -> ray.data.Dataset:
    """Videos -> rows of `measures/`, written as they come."""
    rows = [{"pending": pickle.dumps(of_video)} for of_video in pending]
    return from_rows(rows).map(MeasuringAgain(dataset, recipe, report), num_cpus=decode_cpus())


def clip_measure_graph(
    dataset: Dataset,
    clips: Sequence[Mapping[str, Any]],
    recipe: Recipe,
    fingerprints: Mapping[str, str],
    report: ActorReporter,
) -> ray.data.Dataset:
    """Clips -> frames -> overlay text -> embedding and heads -> rows of `measures/` and `embeddings`."""
    readers = max(1, min(len(clips), int(ray.cluster_resources().get("CPU", 1))))
    graph = video_items(clips).flat_map(
        cast(Any, ClipReader),
        fn_constructor_args=(recipe, report),
        compute=ray.data.ActorPoolStrategy(size=readers),
        num_cpus=decode_cpus(),
    )
    graph = graph.map_batches(
        ClipModels,
        fn_constructor_args=(recipe, report),
        batch_size=CLIP_MEASURE_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
        num_gpus=1 if uses_gpu(recipe) else 0,
    )
    writer = ClipMeasureWriter(dataset, fingerprints, recipe.limits.max_failures, report)
    return graph.map_batches(writer, batch_size=CLIP_MEASURE_BATCH, batch_format="pyarrow", num_cpus=WRITER_CPU)
