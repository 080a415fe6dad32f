"""PySceneDetect's hash detector: share of bits in which the perceptual hashes of neighbouring frames differ."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.split.detectors.pyscenedetect import TimedCuts


@dataclass(frozen=True)
class HashConfig:
    """PySceneDetect's defaults, except for the shortest shot."""

    distance: float = 0.35
    """Share of differing bits from which a frame begins a shot."""
    side_bits: int = 8
    """The hash has the square of this many bits."""
    lowpass: int = 2
    """The picture is reduced to `lowpass` times `side_bits` pixels a side before its lowest frequencies are taken."""
    min_shot_s: float = 0.2
    """A cut that follows another more closely is ignored."""


class HashDetector(TimedCuts):
    def __init__(self, config: HashConfig = HashConfig()) -> None:
        from scenedetect import detectors

        super().__init__(
            detectors.HashDetector(
                threshold=config.distance,
                size=config.side_bits,
                lowpass=config.lowpass,
                min_scene_len=config.min_shot_s,
            )
        )
