"""A short run of codec and text encoder, each in a process of its own that imports what an actor's worker does.

So what memory they take is seen from zero, and what they leave behind is gone afterwards. Ray is imported and not
started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

import pipeline.ray_graphs.encode as graphs
from model.codec.spec import CodecPlan
from pipeline.encode.forecast import Measured, Workload, tried_first
from pipeline.encode.latents import LatentEncoder
from pipeline.encode.stage import AT_HAND_BYTES
from pipeline.ingest.sandbox import IsolatedWorker, Limits
from pipeline.store.part_writer import MAX_BYTES
from pipeline.store.run_statistics import peak_bytes
from schemas.recipe.encode import EncodeConfig

TRIAL_S = 3.0
"""Time in which sizes are tried; the one that is under way then is finished."""
WHOLE_CALL_S = 3600.0
RAY_BYTES = 37 << 20
"""What Ray's own threads and buffers take of a worker that has imported it, as seen on two cores."""

Shape = tuple[int, int, int]


def trial(work: Workload, config: EncodeConfig) -> Measured:
    """Run both on what there is to do, as actors on this machine would."""
    codec_s: dict[Shape, float] = {}
    codec_peak = text_peak = 0
    text_s = bytes_a_char = 0.0
    if work.clips:
        codec_s, codec_peak = _alone(try_codec, config, list(tried_first(work.shapes)))
        codec_peak += RAY_BYTES
    if work.texts:
        text_s, bytes_a_char, text_peak = _alone(try_texts, config, work.sample_texts)
        text_peak += RAY_BYTES
    return Measured(codec_s, text_s, bytes_a_char, codec_peak, text_peak)


def held_bytes(work: Workload) -> int:
    """That an actor holds at most beside the codec, if it encodes all: clips at hand, and a part as rows and as a
    file."""
    return min(work.pixel_bytes, AT_HAND_BYTES) + 2 * min(work.latent_bytes, MAX_BYTES)


def try_codec(config: EncodeConfig, sizes: Iterable[Shape]) -> tuple[dict[Shape, float], int]:
    """Seconds a clip of each size that there was time for, the first of them in any case; and the peak of memory."""
    graphs.use_threads((os.cpu_count() or 1) / config.num_actors)
    encoder = LatentEncoder(config, _device(config))
    codec_s: dict[Shape, float] = {}
    end_s = time.perf_counter() + TRIAL_S
    for shape in sizes:
        if codec_s and time.perf_counter() > end_s:
            break
        plan = CodecPlan(shape, shape, (0, 0, 0, 0))
        frames, width, height = shape
        clip = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)
        clips = [clip] * encoder.clips_at_once(plan)
        codec_s[shape] = min(_seconds(encoder, clips, plan, end_s)) / len(clips)
    return codec_s, peak_bytes()


def _seconds(encoder: LatentEncoder, clips: Sequence[np.ndarray], plan: CodecPlan, end_s: float) -> Iterable[float]:
    """Of the first and the second run, which is without what the first prepares, if there is time for it."""
    for _ in range(2):
        start_s = time.perf_counter()
        encoder(clips, plan)
        yield time.perf_counter() - start_s
        if time.perf_counter() > end_s:
            return


def try_texts(config: EncodeConfig, texts: list[str]) -> tuple[float, float, int]:
    """Seconds a text, bytes of embeddings a character, and the peak of memory."""
    from model.readers.text_encoder import load_text_encoder

    graphs.use_threads(os.cpu_count() or 1)
    encoder = load_text_encoder(config.text_encoder, _device(config), config.text_dtype)
    encoder.encode(texts[:1])
    start_s = time.perf_counter()
    num_bytes = sum(tokens.size * np.dtype(np.float16).itemsize for tokens in encoder.encode(texts))
    seconds = (time.perf_counter() - start_s) / len(texts)
    return seconds, num_bytes / max(1, sum(map(len, texts))), peak_bytes()


def _device(config: EncodeConfig) -> str:
    import torch

    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


def _alone(function: Callable, *args: object) -> tuple:
    limits = Limits(stall_s=WHOLE_CALL_S, call_s=WHOLE_CALL_S, memory_bytes=1 << 62)
    with IsolatedWorker(limits) as worker:
        return worker.call(function, *args)
