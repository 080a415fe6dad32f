"""Clips to fit to and to measure on: synthetic ones, of seeds that no two fits share; and given videos."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path

import torch
from torch import Tensor

from jobs.fits.batched_render import Plan, draw, plan
from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.random_access import TimedFrames
from pipeline.decode.sizes import fit_to_budget
from pipeline.ingest.failures import MediaError
from pipeline.ingest.inputs import list_inputs
from pipeline.synthetic.world import draw_scene

HELD_OUT_SEED = 1_000_000_000
"""Clips with this seed or a higher one are never used for fitting."""
SHAPES_THW = ((17, 64, 96), (9, 96, 64), (9, 64, 64), (5, 96, 128), (17, 64, 96), (9, 128, 96))
BATCH_PIXELS = {"cpu": 9 * 64 * 64 * 8, "cuda": 17 * 64 * 96 * 36}
"""Pixels in a batch, over all its frames; the number of clips follows from their shape."""
REAL_FRAMES, REAL_FPS, REAL_START_S = 17, 24, 0.5
"""Of a given video: so many frames, so far apart, from there on."""
REAL_PIXELS_PX = 192 * 128
"""To which its frames are reduced. A choice: small, since the network is measured on CPUs too."""


def drawn_batch(first_seed: int, shape_thw: tuple[int, int, int], num_clips: int, device: str = "cpu") -> Tensor:
    """Synthetic clips with seeds from `first_seed` on: (B, 3, T, H, W) float32 in [-1, 1]."""
    return draw(_planned(first_seed, shape_thw, num_clips), device) / 127.5 - 1.0


def held_out_clips(shape_thw: tuple[int, int, int], num_clips: int, device: str = "cpu") -> Iterator[Tensor]:
    """Synthetic clips that are never used for fitting, one by one: (1, 3, T, H, W) in [-1, 1]."""
    for i in range(num_clips):
        yield drawn_batch(HELD_OUT_SEED + i, shape_thw, 1, device)


def clips_of_videos(folder: Path) -> dict[str, Tensor]:
    """A clip of each video in a folder that can be read, by the name of its file: (1, 3, T, H, W) in [-1, 1].

    Raises:
        InputError: no such folder.
    """
    clips = {}
    times_us = [round((REAL_START_S + i / REAL_FPS) * MICROSECONDS) for i in range(REAL_FRAMES)]
    for listed in list_inputs([str(folder)]).inputs:
        try:
            with TimedFrames(listed.uri) as frames:
                pictures = []
                for shown in frames.at(times_us):
                    height, width = shown.size
                    size = fit_to_budget(width, height, REAL_PIXELS_PX, multiple=8)
                    pictures.append(torch.from_numpy(shown.cut((0, 0, width, height), (width, height), size)))
        except (OSError, MediaError):
            continue
        clips[Path(listed.uri).name] = torch.stack(pictures).permute(3, 0, 1, 2)[None] / 127.5 - 1.0
    return clips


def first_seed(seed: int) -> int:
    """The first seed of a fit. Each fit has ten million seeds of its own, all below the held-out ones."""
    return 10_000_000 * (1 + seed % 90)


def batches(seed: int, first_step: int, device: str, batch_px: int | None = None) -> Iterator[Plan]:
    """The plans of all steps from one on, in order, made ahead by all processors but two; on a CPU as they come.

    Args:
        batch_px: pixels in a batch, if others than `BATCH_PIXELS` says of the device.
    """
    kind = device.split(":")[0]
    batch_px = batch_px or BATCH_PIXELS[kind]
    num_makers = max((os.cpu_count() or 1) - 2, 1)
    if kind == "cpu":
        step = first_step
        while True:
            yield _plan_of_step(seed, step, batch_px)
            step += 1
    context = multiprocessing.get_context("spawn")
    queues: list[Queue[Plan]] = [context.Queue(maxsize=4) for _ in range(num_makers)]
    for rank, queue in enumerate(queues):
        context.Process(
            target=_make_plans, args=(queue, seed, first_step + rank, num_makers, batch_px), daemon=True
        ).start()
    while True:
        for queue in queues:
            yield queue.get()


def _make_plans(queue: Queue[Plan], seed: int, first_step: int, stride: int, batch_px: int) -> None:
    step = first_step
    while True:
        queue.put(_plan_of_step(seed, step, batch_px))
        step += stride


def _plan_of_step(seed: int, step: int, batch_px: int) -> Plan:
    T, H, W = shape = SHAPES_THW[step % len(SHAPES_THW)]
    most = max(batch_px // (t * h * w) for t, h, w in SHAPES_THW)
    return _planned(first_seed(seed) + step * most, shape, max(batch_px // (T * H * W), 1))


def _planned(first_seed: int, shape_thw: tuple[int, int, int], num_clips: int) -> Plan:
    T, H, W = shape_thw
    return plan([draw_scene(first_seed + i) for i in range(num_clips)], W, H, T)
