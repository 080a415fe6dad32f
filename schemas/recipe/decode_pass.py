"""Settings of the decode pass: shots, measures, duplicates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from pydantic.dataclasses import dataclass

from schemas.recipe.strict import STRICT, Fraction

Keep = Literal["largest", "longest", "sharpest"]


@dataclass(frozen=True, config=STRICT)
class SplitConfig:
    """How a video becomes shots, and shots clips."""

    detector: Literal["cascade", "transnet", "adaptive", "content", "hash", "threshold"] = "cascade"
    """`cascade`: a cheap pass nominates, TransNetV2 decides; `transnet`, the accurate one: it sees every frame."""
    min_shot_s: NonNegativeFloat = 0.2
    """PySceneDetect's detectors ignore a cut that follows another more closely."""
    max_clip_s: PositiveFloat = 60.0
    """Longer shots are divided into equal parts (cosmos-curate: 60 s)."""
    stitch_distance: NonNegativeFloat = 0.0
    """Neighbouring shots whose frames at the cut lie closer than this in the embedding (L2 of unit vectors) are one;
    0 stitches nothing (Panda-70M: 0.6 with ImageBind's features)."""
    stitch_model: str = "builtin"
    """The open_clip model that embeds those frames."""


@dataclass(frozen=True, config=STRICT)
class MeasureConfig:
    """How frames are looked at while they stream past."""

    work_side_px: Annotated[int, Field(ge=16)] = 256
    """Longer side to which frames are reduced, as near as halving comes to it, for shots and most measures."""
    sample_hz: PositiveFloat = 5.0
    """How often the measures that do not need every frame look at one, over the whole clip."""


@dataclass(frozen=True, config=STRICT)
class LimitsConfig:
    """What one input may cost; beyond, it is a row with a reason."""

    stall_s: PositiveFloat = 60.0
    """Without a decoded packet for so long, the decoder hangs."""
    call_s: PositiveFloat = 4 * 3600.0
    """Seconds that one input may take in all: a file that gives packets for ever is never stalled."""
    memory_mib: PositiveFloat = 4096.0
    """Memory of the process that decodes."""


@dataclass(frozen=True, config=STRICT)
class DuplicatesConfig:
    """Which clips count as the same, and which of them is kept.

    The distances were set on twelve edits of real and synthetic clips and on clips that are merely alike
    (`tests/bench/duplicates.py`).
    """

    kinds: tuple[Literal["content", "near", "semantic"], ...] = ("content", "near")
    """The kinds of sameness that count when clips are judged. `semantic` is as good as the embedding model."""
    near_distance: PositiveFloat = 0.2
    """Mean difference of the frames' block contrasts, over their size, up to which a clip is an edited copy."""
    image_distance: PositiveFloat = 0.1
    """The same for still images, of which one frame must say all."""
    near_overlap: Fraction = 0.85
    """Share of the shorter clip that must lie within the longer one. A trimmed copy lies within its original whole."""
    semantic_cosine: Fraction = 0.99
    """Embeddings closer than this are semantic duplicates (Movie Gen .99, Open-Sora .98)."""
    keep: Keep = "largest"
    """Cosmos keeps the highest resolution."""
    seed: int = 0
    """Of the clusters within which embeddings are compared."""
