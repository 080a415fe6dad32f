"""[measure]: how the stream measures sample frames."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class MeasureConfig:
    """How the frames of a video are sampled in its single pass."""

    work_side_px: Annotated[int, Field(ge=16)] = 256
    """Longer side, in pixels, that frames are reduced to by halving, for shots and most measures."""
    sample_hz: PositiveFloat = 5.0
    """Frames per second that are read by measures which do not need every frame."""
