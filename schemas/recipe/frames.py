"""[frames]: the frames of a clip that models are shown."""

from __future__ import annotations

from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class FramesConfig:
    """The frames of a clip that models are shown: spread over the whole clip, in its own aspect ratio."""

    num_frames: PositiveInt = 8
    """Frames of each clip, spread evenly by time."""
    max_pixels_px: PositiveInt = 128 * 128
    """Pixels of a frame at most; larger frames are reduced, aspect ratio kept."""
