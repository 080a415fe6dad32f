"""The fingerprint of splitting: everything that decides into which clips a video is divided."""

from __future__ import annotations

from pipeline import decode
from pipeline.measure.registry import clip_weights
from pipeline.split import clips
from pipeline.split.detectors import catalogue
from schemas.identity import digest
from schemas.recipe.split import SplitConfig


def split_fingerprint(config: SplitConfig) -> str:
    """16 hex characters over the code of frames, detector and clips, and the settings that they use."""
    kind = catalogue.DETECTORS[config.detector]
    stitching = (config.stitch_distance, clip_weights(config.stitch_model)) if config.stitch_distance else ()
    detector = (config.detector, kind.version, *kind.settings(config))
    return digest("split", decode.VERSION, clips.VERSION, detector, config.max_clip_s, stitching)
