"""The detectors by name. What they run on, such as torch, is imported when one is made."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.split.detectors.adaptive import AdaptiveConfig, AdaptiveDetector
from pipeline.split.detectors.cascade import CascadeDetector
from pipeline.split.detectors.content import ContentConfig, ContentDetector
from pipeline.split.detectors.detector import Detector
from pipeline.split.detectors.hash import HashConfig, HashDetector
from pipeline.split.detectors.threshold import ThresholdDetector
from pipeline.split.detectors.transnet import TransNetDetector
from schemas.recipe.split import SplitConfig

DETECTORS: dict[str, Callable[[SplitConfig], Detector]] = {
    "cascade": lambda _: CascadeDetector(),
    "transnet": lambda _: TransNetDetector(),
    "adaptive": lambda split: AdaptiveDetector(AdaptiveConfig(min_shot_s=split.min_shot_s)),
    "content": lambda split: ContentDetector(ContentConfig(min_shot_s=split.min_shot_s)),
    "hash": lambda split: HashDetector(HashConfig(min_shot_s=split.min_shot_s)),
    "threshold": lambda _: ThresholdDetector(),
}


def make_detector(split: SplitConfig) -> Detector:
    """The detector that a recipe names, for one video."""
    return DETECTORS[split.detector](split)
