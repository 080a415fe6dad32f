"""The graphs that encode: released clips to latents, and their texts to token embeddings.

clips -> frames -> latents, written
texts -> token embeddings, written
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray.data

from pipeline.encode.stage import LatentWriting, PlannedFrames, TextWriting
from pipeline.ray_graphs.cluster import SMALL_CPU, ActorReporter, decode_cpus, video_items
from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig

LATENT_BATCH, TEXT_BATCH = 32, 256
"""Rows of a part file of latents, and of texts."""


def latent_graph(
    dataset: Dataset, clips: Sequence[Mapping[str, Any]], recipe: Recipe, report: ActorReporter
) -> ray.data.Dataset:
    """Released clips -> frames -> latents, written as they come."""
    config = recipe.encode
    graph = video_items(clips).flat_map(PlannedFrames(config, recipe.limits, report), num_cpus=decode_cpus())
    return graph.map_batches(
        LatentWriting,
        fn_constructor_args=(dataset, config, recipe.limits.max_failures, report),
        batch_size=LATENT_BATCH,
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
