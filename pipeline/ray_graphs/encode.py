"""The graphs that encode: released clips to latents, and their texts to token embeddings.

clips, a row a video -> frames beside the codec -> latents, written
texts -> token embeddings, written
"""

from __future__ import annotations

import math
import os
from typing import Any, TypeAlias, cast

import pyarrow as pa
import ray
import ray.data

from model.codec.spec import CodecSpec
from pipeline.encode.stage import LatentWriting
from pipeline.encode.text_stage import TextWriting
from pipeline.ray_graphs.cluster import (
    READER_CPU,
    SMALL_CPU,
    ActorReporter,
    decode_cpus,
    output_batch,
    planned,
    video_rows,
)
from pipeline.ray_graphs.memory import READING, fitted, latents_need, texts_need
from pipeline.store.dataset import Dataset
from pipeline.store.plans import Plan
from pipeline.store.run_statistics import peak_bytes
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig

Graph: TypeAlias = ray.data.Dataset

CALLS_AN_ACTOR, MAX_GROUPS = 8, 64
"""A call is given so many groups of rows, the clips of a video or some texts, that each actor is called so often, and
no more than the second. Within a call videos are decoded ahead and parts are written by bytes and seconds; between two
calls the codec waits for the first clip."""


class LatentActor(LatentWriting):
    """Encodes the clips of some videos and writes them; says what memory its process has had at most."""

    def __init__(self, num_threads: float, *args: Any) -> None:
        use_threads(num_threads)
        super().__init__(*args)

    def __call__(self, batch: pa.Table) -> pa.Table:
        self.write(map(video_rows, batch.to_pylist()))
        return output_batch({"peak_bytes": peak_bytes()})


def latent_graph(dataset: Dataset, clips: Plan, codec: CodecSpec, recipe: Recipe, report: ActorReporter) -> Graph:
    """Released clips -> latents, written where they are made: they are too large to pass the driver."""
    config, limits = recipe.encode, recipe.limits
    num_gpus, own_cpus = gpus_of(config), decode_cpus() + SMALL_CPU
    num_actors = int(min(config.num_actors, clips.num_videos, _room(own_cpus, num_gpus)))
    reading, encoding = fitted(READING, latents_need(config, codec.stride_thw, limits, num_actors, num_gpus))
    return planned(clips, reading).map_batches(
        cast(Any, LatentActor),
        fn_constructor_args=(
            _cpus() / num_actors,
            *(dataset, config, codec, limits, report, _device(num_gpus)),
        ),
        batch_size=_groups_a_call(clips, num_actors),
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_cpus=own_cpus,
        num_gpus=num_gpus,
        memory=encoding,
    )


class TextActor(TextWriting):
    """Embeds texts and writes them; says the same."""

    def __init__(self, num_threads: float, *args: Any) -> None:
        use_threads(num_threads)
        super().__init__(*args)

    def __call__(self, batch: pa.Table) -> pa.Table:
        self.write([row["text"] for row in video_rows(group)] for group in batch.to_pylist())
        return output_batch({"peak_bytes": peak_bytes()})


def text_graph(dataset: Dataset, texts: Plan, config: EncodeConfig, report: ActorReporter) -> Graph:
    """Texts -> token embeddings, written as they come."""
    num_gpus = gpus_of(config)
    reading, embedding = fitted(READING, texts_need(config, num_gpus))
    return planned(texts, reading).map_batches(
        cast(Any, TextActor),
        fn_constructor_args=(_cpus(), dataset, config, report, _device(num_gpus)),
        batch_size=_groups_a_call(texts, 1),
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=SMALL_CPU,
        num_gpus=num_gpus,
        memory=embedding,
    )


def gpus_of(config: EncodeConfig) -> float:
    """GPUs that each actor asks for: none if it is to run on the CPU, or if `auto` finds no GPU in the cluster.

    Raises:
        UsageError: GPUs are asked for, and there is none in this machine, on which alone the job runs.
    """
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    if config.device == "cpu" or (config.device == "auto" and not has_gpus):
        return 0.0
    if not has_gpus and not os.environ.get("RAY_ADDRESS"):
        raise UsageError("encode.device = 'cuda': this machine has no GPU that Ray knows of")
    return config.num_gpus


def _device(num_gpus: float) -> str:
    return "cuda" if num_gpus else "cpu"


def _cpus() -> float:
    """Of the cluster. One that has none yet grows with its work."""
    return ray.cluster_resources().get("CPU", 0) or math.inf


def _room(own_cpus: float, num_gpus: float) -> float:
    """How many actors the cluster has CPUs and GPUs for, beside the reader of the plan: at least one."""
    gpus = ray.cluster_resources().get("GPU", 0)
    by_gpus = gpus / num_gpus if gpus and num_gpus else math.inf
    return max(1, min((_cpus() - READER_CPU) / own_cpus, by_gpus))


def _groups_a_call(plan: Plan, num_actors: int) -> int:
    return max(1, min(MAX_GROUPS, math.ceil(plan.num_videos / (num_actors * CALLS_AN_ACTOR))))


def use_threads(num_threads: float) -> None:
    """Let PyTorch use its share of the cluster's CPUs, and no more than this machine has.

    Ray sets one thread for a worker that asks for less than a CPU.
    """
    import torch

    torch.set_num_threads(int(max(1, min(num_threads, os.cpu_count() or 1))))
