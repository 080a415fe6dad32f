"""The graphs that encode: released clips to latents, and their texts to token embeddings.

clips -> frames -> latents, written
texts -> token embeddings, written
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import ray.data

from model.codec.spec import CodecSpec
from pipeline.encode.stage import LatentWriting, PlannedFrames, TextWriting
from pipeline.ray_graphs.cluster import SMALL_CPU, ActorReporter, decode_cpus, output_batch, planned, video_rows
from pipeline.ray_graphs.memory import READING, fitted, frames_need, latent_frames_bytes, latents_need, texts_need
from pipeline.store.dataset import Dataset
from pipeline.store.plans import Plan
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig

LATENT_BATCH, TEXT_BATCH = 32, 256
"""Rows of a part file of latents, and of texts."""


class LatentActor(LatentWriting):
    """Encodes a batch and writes it."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        self.write(batch)
        return output_batch({})


def latent_graph(
    dataset: Dataset, clips: Plan, codec: CodecSpec, recipe: Recipe, report: ActorReporter
) -> ray.data.Dataset:
    """Released clips -> frames -> latents, written where they are made: they are too large to pass the driver."""
    config = recipe.encode
    read = PlannedFrames(config, codec, recipe.limits, report)
    reading, decoding, encoding = fitted(
        READING,
        frames_need(recipe.limits, latent_frames_bytes(config)),
        latents_need(config, LATENT_BATCH),
    )
    frames = planned(clips, reading).flat_map(
        lambda row: read(video_rows(row)), num_cpus=decode_cpus(), memory=decoding
    )
    return frames.map_batches(
        LatentActor,
        fn_constructor_args=(dataset, config, codec, recipe.limits.max_failures, report),
        batch_size=LATENT_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
        memory=encoding,
    )


class TextActor(TextWriting):
    """Embeds a batch and writes it."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        self.write(batch["text"].to_pylist())
        return output_batch({})


def text_graph(dataset: Dataset, texts: Sequence[str], config: EncodeConfig, report: ActorReporter) -> ray.data.Dataset:
    """Texts -> token embeddings, written as they come."""
    (embedding,) = fitted(texts_need(config))
    return ray.data.from_arrow(pa.table({"text": pa.array(texts, pa.string())})).map_batches(
        TextActor,
        fn_constructor_args=(dataset, config, report),
        batch_size=TEXT_BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
        memory=embedding,
    )
