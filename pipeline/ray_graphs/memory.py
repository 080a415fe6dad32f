"""The memory that each stage asks Ray for, so that no node is given more workers than its memory holds.

Ray books what is asked and limits nothing; a decoding process has a limit of its own (`[limits]`). What a stage asks is
what its worker was seen to hold, with the child in which it decodes, and what follows from the recipe: the files of the
models that it loads and the frames that it has at a time.

Seen, in MiB without memory that is shared, and in brackets in the child: the peak of each over `curate` without rules,
by the recipe `default`, of four real videos (letterboxed film, slides, HEVC of a phone, HDR AV1). Two cores of an AMD
EPYC under load, no GPU, November 2026.

    plan reading 281 | scan 276 (923) | frames for captions 283 (826) | overlay text 981 (310)
    embedding 1294 | captioner, transformers 1199

Frames for captions take as much as the scan because Ray uses its workers again, with the child that each has. What an
idle worker keeps is booked by nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

from model.builtin import clip_folder
from model.codec.folders import codec_folder
from pipeline.caption.backends.catalogue import BACKENDS
from pipeline.caption.backends.checkpoints import checkpoint_of
from pipeline.encode.latents import PATCH_HW
from pipeline.encode.stage import AT_HAND_BYTES
from pipeline.store.part_writer import MAX_BYTES
from schemas.recipe import Recipe
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.frames import FramesConfig
from schemas.recipe.limits import LimitsConfig

MIB = 1 << 20
WORKER_MIB = 300
"""A worker of Ray that imports this project and no network."""
SCAN_CHILD_MIB = 1000
"""The child that scans: frames waiting for the pass, TransNetV2, PyTorch. Also the one that reads frames by time in a
task, for it may have scanned before."""
ACTOR_CHILD_MIB = 400
"""The child of an actor, which reads frames by time and nothing else."""
OVERLAY_TEXT_MIB = 700
"""PP-OCR in ONNX Runtime, beside what a worker holds."""
TORCH_MIB = 1300
"""A worker that runs a network of PyTorch, without weights and frames."""
VLLM_MIB = 4096
"""vLLM's processes, without weights."""
PART_COPIES = 3
"""A part of arrays that is written: rows, the Arrow table and the file."""
WEIGHT_COPIES, FRAME_COPIES = 2, 4
"""Weights are read from a file while the network holds them already; frames are in the batch, in a row, as a tensor of
bytes and as one of floats."""
RGB_BYTES, FLOAT_BYTES = 3, 4


@dataclass(frozen=True)
class Need:
    """What one worker of an operator holds, and how many of them a graph starts for good, as a pool of actors."""

    num_bytes: int
    num_workers: int = 1
    num_gpus: float = 0.0
    """Its worker must be on a node with so many."""


READING = Need(WORKER_MIB * MIB)
"""The worker that reads a plan: pieces of at most 128 videos."""
CHECKING = Need(WORKER_MIB * MIB)
"""The worker that checks texts, those of one video at a time."""
IDENTIFYING = Need(WORKER_MIB * MIB)
"""The worker that hashes files, a mebibyte at a time."""


def scan_need(limits: LimitsConfig) -> Need:
    """One pass over a video: the child holds at most what it may."""
    return _decoding(SCAN_CHILD_MIB, limits)


def frames_need(limits: LimitsConfig, frame_bytes: int) -> Need:
    """A task that reads frames by time.

    Args:
        frame_bytes: of the frames that one clip gives.
    """
    return _decoding(SCAN_CHILD_MIB, limits, FRAME_COPIES * frame_bytes)


def measuring_reader_need(recipe: Recipe, num_workers: int = 1) -> Need:
    """An actor that reads frames, and finds overlay text in them."""
    own = OVERLAY_TEXT_MIB * MIB if recipe.overlay_text.enabled else 0
    need = _decoding(ACTOR_CHILD_MIB, recipe.limits, FRAME_COPIES * _shared_frames_bytes(recipe.frames))
    return Need(need.num_bytes + own, num_workers)


def measuring_models_need(recipe: Recipe, batch_clips: int, num_gpus: float) -> Need:
    """An actor with the models that are shown the shared frames, and its batch."""
    folders = [clip_folder(name) for name in (recipe.embedding.model, recipe.aesthetic.model)]
    weights = sum(_file_bytes(folder) for folder in folders) + _file_bytes(recipe.safety.model)
    return _network(weights, batch_clips * _shared_frames_bytes(recipe.frames), 1, num_gpus)


def caption_frames_bytes(config: CaptionConfig, headroom: float) -> int:
    """Of the frames of one window, read with so many times the pixels that the captioner sees."""
    return round(config.num_frames * config.max_pixels_px * headroom) * RGB_BYTES


def captioner_need(recipe: Recipe, headroom: float) -> Need:
    """A captioner with its models and the batches that it works on side by side."""
    config, backend = recipe.caption, BACKENDS[recipe.caption.backend]
    names = [] if backend.is_server else [checkpoint_of(config, backend.builtin), config.rewrite_checkpoint]
    embedder = clip_folder(recipe.embedding.model)
    weights = sum(_file_bytes(name) for name in (*names, embedder))
    batches = backend.calls_at_once * config.batch_clips * caption_frames_bytes(config, headroom)
    need = _network(weights, batches, config.num_actors, config.num_gpus)
    engine = VLLM_MIB * MIB if config.backend == "vllm" else 0
    return Need(need.num_bytes + engine, need.num_workers, need.num_gpus)


def latent_frames_bytes(config: EncodeConfig, stride_thw: tuple[int, int, int]) -> int:
    """Of the frames of one clip at most."""
    by_tokens = config.max_tokens * math.prod(stride_thw) * PATCH_HW**2
    by_frames = config.max_frames * config.max_pixels_px or by_tokens
    return min(by_tokens, by_frames) * RGB_BYTES


def latents_need(
    config: EncodeConfig,
    stride_thw: tuple[int, int, int],
    limits: LimitsConfig,
    num_workers: int = 1,
    num_gpus: float = 0.0,
) -> Need:
    """The codec, clips at hand and a part of latents that is written, with the child that decodes."""
    weights = _file_bytes(codec_folder(config.autoencoder))
    need = _network(weights, latent_frames_bytes(config, stride_thw), num_workers, num_gpus)
    child = round(min(ACTOR_CHILD_MIB, limits.memory_mib) * MIB)
    return Need(need.num_bytes + child + AT_HAND_BYTES + PART_COPIES * MAX_BYTES, num_workers, num_gpus)


def texts_need(config: EncodeConfig, num_gpus: float = 0.0) -> Need:
    """The text encoder and a part of embeddings; texts are small."""
    need = _network(_file_bytes(clip_folder(config.text_encoder) or config.text_encoder), 0, 1, num_gpus)
    return Need(need.num_bytes + PART_COPIES * MAX_BYTES, num_gpus=num_gpus)


@dataclass(frozen=True)
class Node:
    """What a node of the cluster has."""

    memory_bytes: float
    num_gpus: float = 0.0


def fitted(*needs: Need) -> list[int]:
    """What each operator of a graph is to ask for, in bytes: its need, or less where the cluster has too little."""
    return requests(needs, _nodes())


def requests(needs: Sequence[Need], nodes: Sequence[Node]) -> list[int]:
    """The same for given nodes.

    Operators wait for each other, and a request that no node can meet waits for ever. So one worker of each fits on one
    node at the same time, and all workers of pools on the cluster; else all ask for less, in proportion. A cluster that
    has no node yet is one that grows with its work.
    """
    if not nodes:
        return [need.num_bytes for need in needs]
    one_of_each = sum(need.num_bytes for need in needs)
    all_of_them = sum(need.num_bytes * need.num_workers for need in needs)
    of_cluster = sum(node.memory_bytes for node in nodes) / all_of_them
    return [int(need.num_bytes * min(1.0, of_cluster, _room(need, nodes) / one_of_each)) for need in needs]


def num_that_fit(need: Need, others: Sequence[Need]) -> int | None:
    """How many workers the cluster has memory for, beside one of each of others; None where that is not known."""
    nodes = _nodes()
    if not nodes:
        return None
    free = sum(node.memory_bytes for node in nodes) - sum(other.num_bytes * other.num_workers for other in others)
    return max(1, int(free // need.num_bytes))


def _nodes() -> list[Node]:
    return nodes_of([node["Resources"] for node in ray.nodes() if node["Alive"]])


def nodes_of(resources: Sequence[Mapping[str, float]]) -> list[Node]:
    """Nodes that can run a stage's workers, from what Ray says they have. A head that has no CPU runs none."""
    return [Node(had["memory"], had.get("GPU", 0.0)) for had in resources if had.get("memory") and had.get("CPU")]


def _room(need: Need, nodes: Sequence[Node]) -> float:
    """Memory in bytes of the largest node that a worker can be on."""
    fitting = [node.memory_bytes for node in nodes if node.num_gpus >= need.num_gpus]
    return max(fitting or [node.memory_bytes for node in nodes])


def _decoding(child_mib: float, limits: LimitsConfig, own_bytes: int = 0) -> Need:
    return Need(round((WORKER_MIB + min(child_mib, limits.memory_mib)) * MIB) + own_bytes)


def _network(weight_bytes: int, frame_bytes: int, num_workers: int = 1, num_gpus: float = 0.0) -> Need:
    batch = frame_bytes * (FRAME_COPIES + FLOAT_BYTES)
    return Need(TORCH_MIB * MIB + WEIGHT_COPIES * weight_bytes + batch, num_workers, num_gpus)


def _shared_frames_bytes(frames: FramesConfig) -> int:
    return frames.num_frames * frames.max_pixels_px * RGB_BYTES


def _file_bytes(where: Path | str | None) -> int:
    """Bytes of a file or of the files of a folder; 0 for a hub's name, of which only the hub knows the size."""
    path = Path(where) if where else Path("/nowhere")
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
