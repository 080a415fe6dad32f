"""[split]: how a video becomes shots, and shots clips."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class SplitConfig:
    """How a video becomes shots, and shots clips."""

    detector: Literal["cascade", "transnet", "adaptive", "content", "hash", "threshold"] = "cascade"
    """`cascade`: a cheap pass nominates, TransNetV2 decides; `transnet`, the accurate one: it sees every frame."""
    min_shot_s: NonNegativeFloat = 0.2
    """Seconds; PySceneDetect's detectors ignore a cut that follows another sooner."""
    max_clip_s: PositiveFloat = 60.0
    """Seconds; longer shots are divided into equal parts (cosmos-curate: 60 s)."""
    stitch_distance: NonNegativeFloat = 0.0
    """Neighbouring shots are one where their frames at the cut are closer than this (L2 of unit embeddings);
    0 stitches nothing (Panda-70M: 0.6 with ImageBind's features)."""
    stitch_model: str = "builtin"
    """The open_clip model that embeds those frames."""
