"""How the time of the single pass is spent: waiting for the decoder, reducing frames, shots, and each measure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from pipeline.decode import probe
from pipeline.decode.frame import StreamFrame
from pipeline.decode.reader import FrameReader, open_video
from pipeline.measure import registry
from pipeline.scan.single_pass import run_pass
from pipeline.split.clips import clip_spans
from pipeline.split.detectors.catalogue import make_detector
from schemas.recipe import load_recipe
from schemas.tables.measures import STREAM_MEASURES


def profile_pass(paths: list[str]) -> dict[str, float]:
    """Seconds for each part of the pass, over some files; `rest` is the time outside all parts."""
    recipe = load_recipe("default")
    spent: dict[str, float] = {}
    start_s = time.perf_counter()
    frames = 0
    for path in paths:
        container, stream = open_video(path)
        detector = make_detector(recipe.split)
        with container, _timers(spent, detector):
            reader = FrameReader(container, stream, prefetch=True, motion_vectors=True)
            header = probe.header_facts(container, stream)
            _, seen = run_pass(reader, header, STREAM_MEASURES, recipe.measure, detector)
            transitions = detector.finish()
            end_us = reader.times_us[-1] + reader.last_duration_us
            spans = clip_spans(transitions, reader.times_us, end_us, recipe.split)
            with _timed(spent, "scores of the clips"):
                for span in spans:
                    seen.scores(span, spans)
            frames += len(reader.times_us)
    total_s = time.perf_counter() - start_s
    return spent | {"rest": total_s - sum(spent.values()), "total": total_s, "frames": frames}


@contextmanager
def _timers(spent: dict[str, float], detector: Any) -> Iterator[None]:
    """Measure the time inside the parts of a pass while the block runs."""
    restore = [_count(spent, StreamFrame, "of", "reduce"), _count(spent, detector, "push", "shots")]
    restore.append(_count(spent, detector, "finish", "shots"))
    restore += [_count(spent, kind.make, "push", " and ".join(kind.covers)) for kind in registry.STREAM_KINDS]
    plain_iter = FrameReader.__iter__

    def waiting(reader: FrameReader) -> Iterator[Any]:
        frames = plain_iter(reader)
        while True:
            with _timed(spent, "wait for the decoder"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    FrameReader.__iter__ = waiting
    try:
        yield
    finally:
        FrameReader.__iter__ = plain_iter
        for undo in restore:
            undo()


def _count(spent: dict[str, float], owner: Any, name: str, part: str) -> Any:
    """Replace a method by one that measures its time; returns a function that restores it."""
    method = getattr(owner, name)

    @wraps(method)
    def counted(*args: Any, **kwargs: Any) -> Any:
        with _timed(spent, part):
            return method(*args, **kwargs)

    was_own = name in vars(owner)
    original = vars(owner).get(name)
    setattr(owner, name, staticmethod(counted) if isinstance(original, classmethod) else counted)
    return lambda: setattr(owner, name, original) if was_own else delattr(owner, name)


@contextmanager
def _timed(spent: dict[str, float], part: str) -> Iterator[None]:
    start_s = time.perf_counter()
    try:
        yield
    finally:
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - start_s
