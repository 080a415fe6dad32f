"""An adapter that makes PySceneDetect's algorithms a Detector: colour frames in, hard cuts out."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.decode.frame import StreamFrame
from pipeline.split.detectors.detector import Transition

if TYPE_CHECKING:
    from scenedetect import FrameTimecode
    from scenedetect.detector import SceneDetector

MICROSECOND = Fraction(1, 1_000_000)
NOMINAL_FPS = 30.0
"""PySceneDetect wants a rate with every timecode; with presentation times it is only for display."""
RECENT_FRAMES = 1024
"""How many frames back an algorithm may place a cut; it waits for `min_shot_s` at most."""


class TimedCuts:
    """Gives an algorithm frames with their presentation times, and turns the times of its cuts into frame numbers."""

    def __init__(self, algorithm: SceneDetector) -> None:
        self._algorithm = algorithm
        self._recent: dict[int, int] = {}
        self._cuts: list[Transition] = []

    def push(self, frame: StreamFrame) -> None:
        from scenedetect import FrameTimecode
        from scenedetect.common import Timecode

        self._recent[frame.time_us] = frame.index
        if len(self._recent) > RECENT_FRAMES:
            del self._recent[next(iter(self._recent))]
        self._last = FrameTimecode(Timecode(pts=frame.time_us, time_base=MICROSECOND), fps=NOMINAL_FPS)
        self._note(self._algorithm.process_frame(self._last, frame.colour))

    def finish(self) -> list[Transition]:
        if self._recent:
            self._note(self._algorithm.post_process(self._last))
        return self._cuts

    def _note(self, cuts: Iterable[FrameTimecode]) -> None:
        for cut in cuts:
            index = self._recent[round(cut.seconds / float(MICROSECOND))]
            if index > 0:
                self._cuts.append(Transition(index, index))
