"""Shots: cuts found while frames stream past, and clip spans made of them.

The detector is PySceneDetect's adaptive one: the mean HSV change between neighbouring frames, compared with its
rolling average, so that fast motion, which is high everywhere, is not taken for a cut.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from scenedetect import FrameTimecode
from scenedetect.common import Timecode
from scenedetect.detectors import AdaptiveDetector

from schemas.recipe import SplitConfig

MICROSECOND = Fraction(1, 1_000_000)


@dataclass
class ShotDetector:
    """Feed frames in order; `cuts` are the indices of frames that begin a new shot."""

    config: SplitConfig
    cuts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._detector = AdaptiveDetector(
            adaptive_threshold=self.config.adaptive_threshold,
            min_scene_len=self.config.min_shot_s,
            window_width=self.config.window_frames,
            min_content_val=self.config.min_content_val,
        )
        self._recent: dict[int, int] = {}

    def push(self, index: int, time_us: int, frame_bgr: np.ndarray) -> None:
        """Take the next frame, (h, w, 3) uint8 BGR, shown at `time_us`."""
        self._recent[time_us] = index
        timecode = FrameTimecode(Timecode(pts=time_us, time_base=MICROSECOND), fps=NOMINAL_FPS)
        for cut in self._detector.process_frame(timecode, frame_bgr):
            self.cuts.append(self._recent[round(cut.seconds / float(MICROSECOND))])
        if len(self._recent) > 4 * self.config.window_frames + 4:
            del self._recent[next(iter(self._recent))]


NOMINAL_FPS = 30.0
"""PySceneDetect wants a rate beside every timecode; with presentation times it serves display only."""


@dataclass(frozen=True)
class Span:
    """A clip: frames [first, last) of a video, within shot `shot_index`."""

    shot_index: int
    first: int
    last: int


def clip_spans(cuts: list[int], times_us: list[int], max_clip_s: float) -> list[Span]:
    """Spans between cuts; a shot longer than `max_clip_s` is divided into equal parts."""
    edges = [0, *cuts, len(times_us)]
    spans: list[Span] = []
    for shot_index, (first, last) in enumerate(itertools.pairwise(edges)):
        duration_s = (times_us[last - 1] - times_us[first]) * float(MICROSECOND)
        num_parts = max(1, math.ceil(duration_s / max_clip_s))
        bounds = [first + (last - first) * i // num_parts for i in range(num_parts + 1)]
        spans += [Span(shot_index, a, b) for a, b in itertools.pairwise(bounds) if b > a]
    return spans
