"""PySceneDetect's threshold detector: a cut half-way between a fade to black and the fade in that follows."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.decode.frame import StreamFrame
from pipeline.split.detectors.detector import Transition
from pipeline.split.detectors.pyscenedetect import NOMINAL_FPS


@dataclass(frozen=True)
class ThresholdConfig:
    level: int = 12
    """Mean of all channels, of 255, below which a frame counts as black (PySceneDetect's default)."""


class ThresholdDetector:
    """Counts frames instead of times, since the algorithm places a cut half-way between two frame numbers."""

    def __init__(self, config: ThresholdConfig = ThresholdConfig()) -> None:
        from scenedetect import detectors

        self._algorithm = detectors.ThresholdDetector(threshold=config.level, min_scene_len=0)
        self._cuts: list[Transition] = []

    def push(self, frame: StreamFrame) -> None:
        from scenedetect import FrameTimecode

        timecode = FrameTimecode(frame.index, fps=NOMINAL_FPS)
        for cut in self._algorithm.process_frame(timecode, frame.colour):
            if cut.frame_num > 0:
                self._cuts.append(Transition(cut.frame_num, cut.frame_num))

    def finish(self) -> list[Transition]:
        return self._cuts
