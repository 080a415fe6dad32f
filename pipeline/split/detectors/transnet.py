"""TransNet V2 over a stream: windows that overlap, of which the middle counts (Soucek & Lokoc 2020)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pipeline.decode.frame import StreamFrame
from pipeline.split.detectors.detector import Transition

if TYPE_CHECKING:
    from pipeline.split.detectors.transnet_net import TransNet

WINDOW_FRAMES, MARGIN_FRAMES = 200, 25
"""Frames of a window, and those on either side of it whose scores are not used; the first and last frame are repeated.

The paper's windows have 100 frames, of which 25 on either side are not used either. Windows twice as long cost a third
less, and change the probability of a middle by at most 0.06 (measured on 720 frames of a film trailer)."""


@dataclass(frozen=True)
class TransNetConfig:
    """Thresholds of probabilities. The paper uses the first head only; the second tells better where a dissolve begins
    and ends."""

    middle: float = 0.4
    """A frame is the middle of a transition (cosmos-curate: 0.4; the paper: 0.5)."""
    within: float = 0.5
    """A frame is within a transition; one that stays below this everywhere is none."""
    extent: float = 0.3
    """A frame belongs to a transition beside it."""
    min_gradual_frames: int = 3
    """A shorter transition is a cut."""
    max_gap_frames: int = 12
    """Two gradual transitions with so few frames between them are one, such as a fade out and in."""


class TransNetDetector:
    """Keeps the frames of one window, 4 kB each, and two numbers of every frame."""

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
        if len(self._middle) < self._num_frames:
            self._window += [self._window[-1]] * MARGIN_FRAMES
            self._score()
        return transitions(*self.scores, self._config)

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Both probabilities of each frame that is scored, (T,) float32 each."""
        return np.array(self._middle), np.array(self._within)

    def _score(self) -> None:
        middle, within = self._net(np.stack(self._window))
        self._middle.extend(middle[MARGIN_FRAMES:-MARGIN_FRAMES])
        self._within.extend(within[MARGIN_FRAMES:-MARGIN_FRAMES])
        self._window = self._window[-2 * MARGIN_FRAMES :]


@cache
def load_net() -> TransNet:
    """The network, loaded once in a process; torch is imported at the first call.

    Raises:
        ModuleNotFoundError: the package that carries the weights is not installed.
    """
    from pipeline.split.detectors.transnet_net import TransNet

    return TransNet()


def transitions(middle: np.ndarray, within: np.ndarray, config: TransNetConfig) -> list[Transition]:
    """Gradual transitions where frames are within one; elsewhere cuts, which show in the last frame of the old shot.

    Args:
        middle, within: (T,) probabilities.
    """
    gradual = [
        Transition(first, end)
        for first, end in _joined(runs(within > config.extent), config.max_gap_frames)
        if end - first >= config.min_gradual_frames
        and (within[first:end].max() >= config.within or middle[first:end].max() >= config.middle)
    ]
    cuts = [first + int(np.argmax(middle[first:end])) + 1 for first, end in runs(middle >= config.middle)]
    alone = [cut for cut in cuts if not any(g.first - 1 <= cut <= g.end + 1 for g in gradual)]
    return sorted([*gradual, *(Transition(cut, cut) for cut in alone if cut < len(middle))])


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges in which a (T,) bool array is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _joined(ranges: list[tuple[int, int]], max_gap: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, end in ranges:
        if joined and first - joined[-1][1] <= max_gap:
            first = joined.pop()[0]
        joined.append((first, end))
    return joined
