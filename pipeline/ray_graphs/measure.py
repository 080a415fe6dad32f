"""The graphs that measure: stream measures taken again, and clip measures.

videos -> one pass over each -> rows of measures
clips still in -> read frames, overlay text -> embedding, heads -> rows of measures, embeddings
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data

from pipeline.measure.clip_measures import ClipModels, ClipReader
from pipeline.measure.registry import uses_gpu
from pipeline.ray_graphs.cluster import (
    READER_CPU,
    SMALL_CPU,
    ActorReporter,
    decode_cpus,
    output,
    output_batch,
    planned,
    video_rows,
)
from pipeline.ray_graphs.memory import (
    READING,
    fitted,
    measuring_models_need,
    measuring_reader_need,
    num_that_fit,
    scan_need,
)
from pipeline.scan.remeasure import remeasured
from pipeline.store.plans import Plan
from pipeline.store.run_statistics import timed
from schemas.recipe import Recipe

CLIP_MEASURE_BATCH = 8
"""Clips that a model is shown together."""


@dataclass(frozen=True)
class MeasuringAgain:
    """Take stream measures of one video's clips again."""

    recipe: Recipe
    report: ActorReporter

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with timed(self.report, "remeasure") as work:
            clips = video_rows(row)
            rows = remeasured(clips, self.recipe)
            work.rows = 1
            work.count("clips measured again", len(clips))
        yield output(rows)


def remeasure_graph(clips: Plan, recipe: Recipe, report: ActorReporter) -> ray.data.Dataset:
    """Videos -> rows of `measures/`, as they come."""
    reading, measuring = fitted(READING, scan_need(recipe.limits))
    return planned(clips, reading).flat_map(MeasuringAgain(recipe, report), num_cpus=decode_cpus(), memory=measuring)


class ReadingActor(ClipReader):
    """From the clips of one video to a row for each."""

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from self.read(video_rows(row))


class ModelsActor(ClipModels):
    """From clips with frames to rows of `measures/` and `embeddings`."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        return output_batch(self.rows(batch))


def _num_readers(clips: Plan, num_in_memory: int | None) -> int:
    """As many as there are CPUs and memory for, with room for those who read the plan and show frames to the models."""
    cpus = ray.cluster_resources().get("CPU", 1)
    beside = int((cpus - READER_CPU - SMALL_CPU) / decode_cpus())
    return max(1, min(clips.num_videos, int(cpus), beside, num_in_memory or clips.num_videos))


def clip_measure_graph(
    clips: Plan, recipe: Recipe, fingerprints: Mapping[str, str], report: ActorReporter
) -> ray.data.Dataset:
    """Clips -> frames -> overlay text -> embedding and heads -> rows of `measures/` and `embeddings`."""
    num_gpus = 1 if uses_gpu(recipe) else 0
    models_need = measuring_models_need(recipe, CLIP_MEASURE_BATCH, num_gpus)
    readers = _num_readers(clips, num_that_fit(measuring_reader_need(recipe), [READING, models_need]))
    reading, measuring, shown = fitted(READING, measuring_reader_need(recipe, readers), models_need)
    frames = planned(clips, reading).flat_map(
        cast(Any, ReadingActor),
        fn_constructor_args=(recipe, report),
        compute=ray.data.ActorPoolStrategy(size=readers),
        num_cpus=decode_cpus(),
        memory=measuring,
    )
    return frames.map_batches(
        ModelsActor,
        fn_constructor_args=(recipe, fingerprints, report),
        batch_size=CLIP_MEASURE_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
        num_gpus=num_gpus,
        memory=shown,
    )
