"""TransNet V2 as a stream: windows of 100 frames, of which the middle 50 count (Soucek & Lokoc 2020)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pipeline.detectors.detector import Transition
from pipeline.stream import StreamFrame

if TYPE_CHECKING:
    from pipeline.detectors.transnet_net import TransNet

WINDOW_FRAMES, MARGIN_FRAMES = 100, 25
"""A window, and what is only looked at on either side of it; the first and the last frame are repeated (paper)."""
STEP_FRAMES = WINDOW_FRAMES - 2 * MARGIN_FRAMES


@dataclass(frozen=True)
class TransNetConfig:
    threshold: float = 0.4
    """Probability of a transition's middle frame (cosmos-curate: 0.4; the paper: 0.5)."""
    extent_threshold: float = 0.3
    """Probability of a frame within a transition that carries its extent on from the middle."""


class TransNetDetector:
    """Keeps the 100 frames of a window, 4 kB each, and two numbers a frame."""

    def __init__(self, config: TransNetConfig = TransNetConfig()) -> None:
        self._config = config
        self._net = load_net()
        self._window: list[np.ndarray] = []
        self._middle, self._within = array("f"), array("f")
        self._num_frames = 0

    def push(self, frame: StreamFrame) -> None:
        if not self._window:
            self._window = [frame.tiny] * MARGIN_FRAMES
        self._window.append(frame.tiny)
        self._num_frames += 1
        if len(self._window) == WINDOW_FRAMES:
            self._score()

    def finish(self) -> list[Transition]:
        while len(self._middle) < self._num_frames:
            self._window += [self._window[-1]] * (WINDOW_FRAMES - len(self._window))
            self._score()
        middle, within = (np.array(scores[: self._num_frames]) for scores in (self._middle, self._within))
        return transitions(middle, within, self._config)

    def _score(self) -> None:
        middle, within = self._net(np.stack(self._window))
        self._middle.extend(middle[MARGIN_FRAMES:-MARGIN_FRAMES])
        self._within.extend(within[MARGIN_FRAMES:-MARGIN_FRAMES])
        self._window = self._window[STEP_FRAMES:]


@cache
def load_net() -> TransNet:
    """The network, once a process; torch is imported when it is first wanted.

    Raises:
        ModuleNotFoundError: the package that carries the weights is not installed.
    """
    from pipeline.detectors.transnet_net import TransNet

    return TransNet()


def transitions(middle: np.ndarray, within: np.ndarray, config: TransNetConfig) -> list[Transition]:
    """Runs of frames that may be a transition's middle, each widened to the frames around that lie within one.

    A cut shows as the last frame of the old shot; what is one or two frames wide is a cut.

    Args:
        middle, within: (T,) probabilities.
    """
    found: list[Transition] = []
    for first, end in runs(middle > config.threshold):
        if found and first < found[-1].end:
            continue
        peak = first + int(np.argmax(middle[first:end]))
        wide_first, wide_end = _widened(within > config.extent_threshold, first, end)
        if wide_end - wide_first <= 2:
            wide_first = wide_end = peak + 1
        if found and wide_first < found[-1].end:
            wide_first = min(found[-1].end, wide_end)
        if 0 < wide_end < len(middle) or wide_first < wide_end:
            found.append(Transition(wide_first, wide_end))
    return found


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges in which a (T,) bool array is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _widened(flags: np.ndarray, first: int, end: int) -> tuple[int, int]:
    while first > 0 and flags[first - 1]:
        first -= 1
    while end < len(flags) and flags[end]:
        end += 1
    return first, end
