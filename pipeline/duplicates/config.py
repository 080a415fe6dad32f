"""Settings of the search for duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Keep = Literal["largest", "longest", "sharpest"]


@dataclass(frozen=True)
class DuplicatesConfig:
    """Which clips count as the same, and which of them is kept.

    The distances were set on twelve edits of real and drawn clips and on clips that are merely alike
    (`tests/bench/duplicates.py`).
    """

    near_distance: float = 0.2
    """Mean difference of the frames' block contrasts, over their size, up to which a clip is an edited copy."""
    image_distance: float = 0.1
    """The same for still images, of which one frame must say all."""
    near_overlap: float = 0.85
    """Share of the shorter clip that must lie within the longer one. A trimmed copy lies within its original whole."""
    semantic_cosine: float = 0.99
    """Embeddings closer than this are semantic duplicates (Movie Gen .99, Open-Sora .98)."""
    keep: Keep = "largest"
    """Cosmos keeps the highest resolution."""
    seed: int = 0
