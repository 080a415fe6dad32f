"""The detectors by name. What they run on, such as torch, is imported when one is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.split.detectors.adaptive import AdaptiveConfig, AdaptiveDetector
from pipeline.split.detectors.cascade import CascadeDetector
from pipeline.split.detectors.content import ContentConfig, ContentDetector
from pipeline.split.detectors.detector import Detector
from pipeline.split.detectors.hash import HashConfig, HashDetector
from pipeline.split.detectors.threshold import ThresholdDetector
from pipeline.split.detectors.transnet import TransNetDetector
from schemas.recipe.split import SplitConfig


@dataclass(frozen=True)
class DetectorKind:
    """How a detector is made, and what the transitions that it finds depend on."""

    make: Callable[[SplitConfig], Detector]
    version: int
    """Raised when the code finds other transitions, here and nowhere else."""
    settings: Callable[[SplitConfig], tuple[object, ...]] = lambda _: ()


def _min_shot(split: SplitConfig) -> tuple[object, ...]:
    return (split.min_shot_s,)


DETECTORS: dict[str, DetectorKind] = {
    "cascade": DetectorKind(lambda _: CascadeDetector(), version=2),
    "transnet": DetectorKind(lambda _: TransNetDetector(), version=1),
    "adaptive": DetectorKind(
        lambda split: AdaptiveDetector(AdaptiveConfig(min_shot_s=split.min_shot_s)), version=1, settings=_min_shot
    ),
    "content": DetectorKind(
        lambda split: ContentDetector(ContentConfig(min_shot_s=split.min_shot_s)), version=1, settings=_min_shot
    ),
    "hash": DetectorKind(
        lambda split: HashDetector(HashConfig(min_shot_s=split.min_shot_s)), version=1, settings=_min_shot
    ),
    "threshold": DetectorKind(lambda _: ThresholdDetector(), version=1),
}


def make_detector(split: SplitConfig) -> Detector:
    """The detector that a recipe names, for one video."""
    return DETECTORS[split.detector].make(split)
