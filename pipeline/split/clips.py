"""Shots and clips: a shot is the frames between two transitions, and is divided into clips where it is long.

A clip holds frames of one shot only: those of a dissolve or a fade are in no clip. `stitch` joins shots on both sides
of a cut that look alike, as Panda-70M does (Chen et al. 2024).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from pipeline.decode.frame import Span
from pipeline.decode.reader import MICROSECONDS
from pipeline.split.detectors.detector import Transition
from schemas.recipe.split import SplitConfig

VERSION = 2


def clip_spans(
    transitions: Sequence[Transition], times_us: Sequence[int], end_us: int, config: SplitConfig
) -> list[Span]:
    """Clips between transitions, in order; frames of gradual transitions are in none.

    Every shot has a clip, however short it is; the rules may reject it. A video that is all one transition is one clip.

    Args:
        transitions: in order, not overlapping, as detectors return them.
        times_us: when each frame is shown, strictly increasing.
        end_us: when the last one ends.
    """
    times = [*times_us, end_us]
    shots = _shots(transitions, len(times_us)) or [(0, len(times_us))]
    return [
        span
        for shot_index, (first, last) in enumerate(shots)
        for span in _parts(shot_index, first, last, times, config.max_clip_s)
    ]


def stitch(
    transitions: Sequence[Transition], distance: Callable[[Transition], float | None], max_distance: float
) -> list[Transition]:
    """The transitions without the hard cuts whose sides look alike.

    Args:
        distance: between the frames just before and just after a hard cut, such as L2 of their unit embeddings; None
            keeps the cut.
    """
    kept = []
    for transition in transitions:
        apart = distance(transition) if transition.kind == "cut" else None
        if apart is None or apart > max_distance:
            kept.append(transition)
    return kept


def _shots(transitions: Sequence[Transition], num_frames: int) -> list[tuple[int, int]]:
    """Frames [first, last) of each shot; an empty one, such as before a fade in at the start, does not count."""
    starts = [0, *(transition.end for transition in transitions)]
    ends = [*(transition.first for transition in transitions), num_frames]
    return [(first, last) for first, last in zip(starts, ends, strict=True) if last > first]


def _parts(shot_index: int, first: int, last: int, times: Sequence[int], max_clip_s: float) -> list[Span]:
    duration_us = times[last] - times[first]
    num_parts = min(max(1, math.ceil(duration_us / (max_clip_s * MICROSECONDS))), last - first)
    bounds = [first + (last - first) * part // num_parts for part in range(num_parts + 1)]
    return [Span(shot_index, a, b, times[a], times[b]) for a, b in itertools.pairwise(bounds)]
