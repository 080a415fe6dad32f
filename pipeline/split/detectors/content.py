"""PySceneDetect's content detector: mean HSV change between neighbouring frames, against a fixed threshold."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.split.detectors.pyscenedetect import TimedCuts


@dataclass(frozen=True)
class ContentConfig:
    change: float = 27.0
    """Mean HSV change, of 255, from which a frame begins a shot (PySceneDetect's default)."""
    min_shot_s: float = 0.2
    """Cuts that follow each other more closely are merged into one, as in a flash."""


class ContentDetector(TimedCuts):
    def __init__(self, config: ContentConfig = ContentConfig()) -> None:
        from scenedetect import detectors

        super().__init__(detectors.ContentDetector(threshold=config.change, min_scene_len=config.min_shot_s))
