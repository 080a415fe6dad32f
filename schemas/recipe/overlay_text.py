"""[overlay_text]: the search for overlaid text."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.recipe.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class OverlayTextConfig:
    """Search for overlaid text by OCR (PP-OCR through rapidocr)."""

    enabled: bool = True
    num_moments: PositiveInt = 5
    """Moments spread over the whole clip at which text is looked for."""
    companion_gap_s: PositiveFloat = 0.2
    """Each moment is followed by a frame this much later, by which the picture's movement is seen."""
    max_pixels_px: PositiveInt = 1280 * 720
    """Larger frames are reduced to this; text of 12 px is found at it."""
