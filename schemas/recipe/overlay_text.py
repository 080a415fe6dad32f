"""[overlay_text]: the search for overlaid text."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class OverlayTextConfig:
    """Search for overlaid text by OCR (PP-OCR through rapidocr)."""

    enabled: bool = True
    """Whether clips are searched for text at all."""
    num_moments: PositiveInt = 5
    """Moments spread over the whole clip at which text is looked for."""
    companion_gap_s: PositiveFloat = 0.2
    """Each moment is followed by a frame this many seconds later, which shows how the picture moves."""
    max_pixels_px: PositiveInt = 1280 * 720
    """Pixels; larger frames are reduced to this, at which text of 12 px height is found."""
