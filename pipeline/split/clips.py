"""Shots and clips: a shot is the frames between two transitions, and is divided into clips where it is long.

A clip holds frames of one shot only: those of a dissolve or a fade are in no clip. `stitch` joins shots on both sides
of a cut that look alike, as Panda-70M does (Chen et al. 2024).
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.frame import Span
from pipeline.split.detectors.detector import Transition
from schemas.recipe.split import SplitConfig

VERSION = 3


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
    """A shot as parts of about equal length, none longer than the most; each starts with a frame where one is near.

    In a sparse video a frame may stay for longer than a clip may last: then a part starts within its time, and the
    frame is in both.
    """
    bounds, end_us, most_us = [times[first]], times[last], round(max_clip_s * MICROSECONDS)
    while end_us - bounds[-1] > most_us:
        rest_us = end_us - bounds[-1]
        num_parts = math.ceil(rest_us / most_us)
        allowed = max(end_us - (num_parts - 1) * most_us, bounds[-1] + 1), bounds[-1] + most_us
        bounds.append(
            _near_frame(times[first + 1 : last], bounds[-1] + rest_us // num_parts, allowed, rest_us // num_parts)
        )
    bounds.append(end_us)
    return [
        Span(
            shot_index,
            bisect.bisect_right(times, start, first, last) - 1,
            bisect.bisect_left(times, end, first, last),
            start,
            end,
        )
        for start, end in itertools.pairwise(bounds)
    ]


NEAR_FRAC = 0.125
"""How far from where it would be a part may start so that it starts with a frame, as a share of its length."""


def _near_frame(starts: Sequence[int], ideal_us: int, allowed: tuple[int, int], length_us: int) -> int:
    """The start of the frame that is nearest to a time, if there is one near it within `allowed`; else the time."""
    at = bisect.bisect_left(starts, ideal_us)
    near = [start for start in starts[max(at - 1, 0) : at + 1] if allowed[0] <= start <= allowed[1]]
    best = min(near, key=lambda start: (abs(start - ideal_us), start), default=ideal_us)
    return best if abs(best - ideal_us) <= NEAR_FRAC * length_us else ideal_us
