"""[measure]: how the stream measures sample frames."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat
from pydantic.dataclasses import dataclass

from schemas.recipe.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class MeasureConfig:
    """How frames are looked at while they stream past."""

    work_side_px: Annotated[int, Field(ge=16)] = 256
    """Longer side to which frames are reduced, as near as halving comes to it, for shots and most measures."""
    sample_hz: PositiveFloat = 5.0
    """How often the measures that do not need every frame look at one, over the whole clip."""
