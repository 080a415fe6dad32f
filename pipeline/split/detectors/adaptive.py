"""PySceneDetect's adaptive detector: change between neighbouring frames, over its rolling average.

Fast motion changes every frame a lot, so the average is high and no frame stands out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.split.detectors.pyscenedetect import TimedCuts


@dataclass(frozen=True)
class AdaptiveConfig:
    """The thresholds that were best in PySceneDetect's own benchmark (mean F1 76.3)."""

    ratio: float = 3.5
    """Change of a frame over the mean change of its window."""
    window_frames: int = 3
    """Frames on either side that make up the rolling average."""
    min_change: float = 15.0
    """Mean HSV change, of 255, below which nothing is a cut (PySceneDetect's default)."""
    min_shot_s: float = 0.2
    """A cut that follows another more closely is ignored. The benchmark's 0.6 s hides true cuts of real videos."""


class AdaptiveDetector(TimedCuts):
    def __init__(self, config: AdaptiveConfig = AdaptiveConfig()) -> None:
        from scenedetect import detectors

        super().__init__(
            detectors.AdaptiveDetector(
                adaptive_threshold=config.ratio,
                min_scene_len=config.min_shot_s,
                window_width=config.window_frames,
                min_content_val=config.min_change,
            )
        )
