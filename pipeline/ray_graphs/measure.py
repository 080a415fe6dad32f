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
    SMALL_CPU,
    ActorReporter,
    decode_cpus,
    output,
    output_batch,
    planned,
    video_rows,
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
    return planned(clips).flat_map(MeasuringAgain(recipe, report), num_cpus=decode_cpus())


class ReadingActor(ClipReader):
    """From the clips of one video to a row for each."""

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from self.read(video_rows(row))


class ModelsActor(ClipModels):
    """From clips with frames to rows of `measures/` and `embeddings`."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        return output_batch(self.rows(batch))


def clip_measure_graph(
    clips: Plan, recipe: Recipe, fingerprints: Mapping[str, str], report: ActorReporter
) -> ray.data.Dataset:
    """Clips -> frames -> overlay text -> embedding and heads -> rows of `measures/` and `embeddings`."""
    readers = max(1, min(clips.num_videos, int(ray.cluster_resources().get("CPU", 1))))
    frames = planned(clips).flat_map(
        cast(Any, ReadingActor),
        fn_constructor_args=(recipe, report),
        compute=ray.data.ActorPoolStrategy(size=readers),
        num_cpus=decode_cpus(),
    )
    return frames.map_batches(
        ModelsActor,
        fn_constructor_args=(recipe, fingerprints, report),
        batch_size=CLIP_MEASURE_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
        num_gpus=1 if uses_gpu(recipe) else 0,
    )
