"""[duplicates]: which clips count as the same, and which of them is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT, Fraction

Keep = Literal["largest", "longest", "sharpest"]


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
    """`near_distance` for still images, which have one frame only."""
    near_overlap: Fraction = 0.85
    """Share of the shorter clip that must be in the longer one; a trimmed copy is wholly in its original."""
    semantic_cosine: Fraction = 0.99
    """Embeddings closer than this are semantic duplicates (Movie Gen .99, Open-Sora .98)."""
    keep: Keep = "largest"
    """Which clip of a group is kept; Cosmos keeps the highest resolution."""
    seed: int = 0
    """Seed of the clusters within which embeddings are compared."""
