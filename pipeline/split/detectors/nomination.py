"""Spans of a stream for TransNet to score: gathered as frames pass, scored once the frames around them are there."""

from __future__ import annotations

from array import array

import numpy as np

from pipeline.split.detectors.thumbnails import Recent
from pipeline.split.detectors.transnet import load_net

MARGIN_FRAMES = 16
"""Frames that are scored on either side of a span. The paper's windows have 25."""
GAP_FRAMES = 16
"""Spans this close are joined, which costs no more."""
LONGEST_FRAMES = 150
"""Longer spans are scored in pieces, so that fewer frames need to be kept."""
FULL_RANGE, MAX_GAIN = 128.0, 4.0
"""TransNet sees no dissolve of footage without contrast. What it is given has at least so many of 255 levels between
its darkest and its brightest hundredth, unless more than the gain were needed, which would be noise."""


class Nominations:
    """Probabilities of every frame; 0 where none was nominated."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self._open: list[tuple[int, int]] = []
        self._middle, self._within = array("f"), array("f")
        self.num_scored = 0
        self.asked: list[tuple[int, int]] = []
        """Ranges [first, end) of frames whose probabilities are known."""

    def add(self, first: int, end: int) -> None:
        """Nominate frames [first, end); what is outside the video is cut off when they are scored."""
        apart = []
        for span in self._open:
            if span[0] <= end + GAP_FRAMES and first <= span[1] + GAP_FRAMES:
                first, end = min(first, span[0]), max(end, span[1])
            else:
                apart.append(span)
        self._open = sorted([*apart, (first, end)])

    def close_before(self, frame: int) -> None:
        """Score the spans that no later nomination, from `frame` on, can extend, and whole pieces of longer ones."""
        while self._open and self._open[0][1] + GAP_FRAMES < frame:
            self._score(*self._open.pop(0))
        while self._open and self._open[0][0] + LONGEST_FRAMES < frame:
            first, end = self._open[0]
            self._score(first, first + LONGEST_FRAMES)
            self._open[0] = first + LONGEST_FRAMES, max(end, first + LONGEST_FRAMES)

    def finish(self) -> None:
        for first, end in self._open:
            for piece in range(first, end, LONGEST_FRAMES):
                self._score(piece, min(piece + LONGEST_FRAMES, end))
        self._open = []

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """TransNet's two probabilities of each frame, (T,) float32 each."""
        self._reach(self._recent.num_frames)
        return np.array(self._middle), np.array(self._within)

    def _score(self, first: int, end: int) -> None:
        num_frames = self._recent.num_frames
        begin, stop = max(first, 0) - MARGIN_FRAMES, min(end, num_frames) + MARGIN_FRAMES
        if stop - begin <= 2 * MARGIN_FRAMES:
            return
        scores = load_net()(_with_contrast(np.stack([self._recent[index].tiny for index in range(begin, stop)])))
        self.num_scored += stop - begin
        first, end = max(begin + MARGIN_FRAMES // 2, 0), min(stop - MARGIN_FRAMES // 2, num_frames)
        self._reach(end)
        self.asked.append((first, end))
        for kept, found in zip((self._middle, self._within), scores, strict=True):
            kept[first:end] = array("f", np.maximum(kept[first:end], found[first - begin : end - begin]))

    def _reach(self, num_frames: int) -> None:
        for kept in (self._middle, self._within):
            kept.extend([0.0] * (num_frames - len(kept)))


def _with_contrast(tiny_THWC: np.ndarray) -> np.ndarray:
    """Frames (uint8) whose levels are spread, those of all frames alike, so that no change comes of it."""
    darkest, brightest = np.percentile(tiny_THWC, (1, 99))
    gain = min(FULL_RANGE / max(brightest - darkest, 1.0), MAX_GAIN)
    if gain <= 1.0:
        return tiny_THWC
    levels = (np.arange(256) - (darkest + brightest) / 2) * gain + 127.5
    return np.clip(levels, 0, 255).astype(np.uint8)[tiny_THWC]
