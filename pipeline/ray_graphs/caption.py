"""The graph that captions, and what happens to clips that kill their captioner.

    clips kept -> frames -> caption, checks, second try -> rows of captions

An actor that dies, or that finishes no batch for `stall_s`, is restarted by Ray and given its batches again. A batch
that was begun twice and never finished is captioned clip by clip, and a clip of which that is true gets a row that says
so.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data

from pipeline.caption.backends.catalogue import BACKENDS
from pipeline.caption.engine import EngineLost
from pipeline.caption.fingerprint import known_prompts
from pipeline.caption.stage import HEADROOM, Captioning, CheckingAgain, FrameSampling, Row, clips_of
from pipeline.ray_graphs.cluster import (
    SMALL_CPU,
    ActorReporter,
    decode_cpus,
    output,
    output_batch,
    planned,
    video_rows,
)
from pipeline.ray_graphs.memory import CHECKING, READING, caption_frames_bytes, captioner_need, fitted, frames_need
from pipeline.store.plans import Plan
from schemas import CAPTIONS
from schemas.recipe import Recipe

MAX_DEATHS = 2
"""Number of captioners that may die at the same clips before those are blamed."""
KILLED = "captioner_died"
"""Reason of a clip that killed its captioner each time."""
LOST_ENGINE = 70
"""Exit status of an actor whose engine died."""


class CaptioningActor(Captioning):
    """A captioner that reports what it works on, and that exits rather than hang or go on without its engine."""

    def __init__(self, recipe: Recipe, report: ActorReporter) -> None:
        super().__init__(recipe, report)
        self._statistics, self._stall_s = report.actor, recipe.caption.stall_s
        self._gate = Gate(calls_at_once(recipe))
        self._lock, self._num_running = threading.Lock(), 0

    def __call__(self, batch: pa.Table) -> pa.Table:
        return output_batch({CAPTIONS: CAPTIONS.unstamped(self.rows(batch))})

    def rows(self, batch: pa.Table) -> list[Row]:
        with self._gate.together():
            whole = self._captioned(batch)
        if whole is not None:
            return whole
        with self._gate.alone():
            rows = [batch.slice(i, 1) for i in range(batch.num_rows)]
            return [made for row in rows for made in self._captioned(row) or self.without_captions(row, KILLED)]

    def _captioned(self, batch: pa.Table) -> list[Row] | None:
        """The rows of a batch; None if too many have died at it."""
        clip_ids = tuple(clip["clip_id"] for clip in clips_of(batch))
        if cast(int, ray.get(self._statistics.begin.remote(clip_ids))) >= MAX_DEATHS:
            return None
        self._watch(1)
        try:
            return super().rows(batch)
        except EngineLost:
            os._exit(LOST_ENGINE)
        finally:
            self._watch(-1)
            ray.get(self._statistics.end.remote(clip_ids))

    def _watch(self, change: int) -> None:
        """A batch has begun or ended: the time in which the next one must end starts now.

        The watchdog is a thread of C, which no lock of Python's stops.
        """
        with self._lock:
            self._num_running += change
            if self._num_running:
                faulthandler.dump_traceback_later(self._stall_s, exit=True)
            else:
                faulthandler.cancel_dump_traceback_later()


class Gate:
    """Lets several callers in at the same time, or one alone, which then is the only one to blame."""

    def __init__(self, width: int) -> None:
        self._width, self._places, self._turn = width, threading.Semaphore(width), threading.Lock()

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._places:
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._turn:
            for _ in range(self._width):
                self._places.acquire()
            try:
                yield
            finally:
                self._places.release(self._width)


def calls_at_once(recipe: Recipe) -> int:
    """Batches that a captioner actor works on side by side."""
    return BACKENDS[recipe.caption.backend].calls_at_once


def caption_check_graph(captions: Plan, recipe: Recipe, report: ActorReporter) -> ray.data.Dataset:
    """Captions -> the same with the checks of now: rows of `captions`."""
    check = CheckingAgain(known_prompts(recipe.caption), report)
    reading, checking = fitted(READING, CHECKING)
    return planned(captions, reading).map(
        lambda row: output({CAPTIONS: CAPTIONS.unstamped(check(video_rows(row)))}), num_cpus=SMALL_CPU, memory=checking
    )


def caption_graph(clips: Plan, recipe: Recipe, report: ActorReporter) -> ray.data.Dataset:
    """Clips -> frames -> captions and their checks: rows of `captions`."""
    caption, sample = recipe.caption, FrameSampling(recipe, report)
    reading, decoding, captioning = fitted(
        READING,
        frames_need(recipe.limits, caption_frames_bytes(caption, HEADROOM)),
        captioner_need(recipe, HEADROOM),
    )
    frames = planned(clips, reading).flat_map(
        lambda row: sample(video_rows(row)), num_cpus=decode_cpus(), memory=decoding
    )
    return frames.map_batches(
        cast(Any, CaptioningActor),
        fn_constructor_args=(recipe, report),
        batch_size=caption.batch_clips,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            size=caption.num_actors,
            max_concurrent_calls_per_actor=calls_at_once(recipe),
            enable_true_multi_threading=True,
        ),
        num_cpus=SMALL_CPU,
        num_gpus=caption.num_gpus,
        memory=captioning,
    )
