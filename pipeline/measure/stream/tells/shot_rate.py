"""How often the video cuts around a clip; Movie Gen (2024) leaves out clips with more than 0.85 shots a second."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.frame import Span

WINDOW_S = 10.0
"""Length of the window around a clip's middle."""


def shots_per_s(span: Span, spans: Sequence[Span]) -> float | None:
    """Changes of shot a second, over the part of the window that the video has; None if that is empty.

    Args:
        spans: all clips of the video in the order of time; parts of one shot carry the same `shot_index`.
    """
    middle = (span.start_us + span.end_us) / 2
    start = max(middle - WINDOW_S / 2 * MICROSECONDS, min(other.start_us for other in spans))
    end = min(middle + WINDOW_S / 2 * MICROSECONDS, max(other.end_us for other in spans))
    if end <= start:
        return None
    changes = [after.start_us for before, after in pairwise(spans) if before.shot_index != after.shot_index]
    return sum(start < time <= end for time in changes) / ((end - start) / MICROSECONDS)
