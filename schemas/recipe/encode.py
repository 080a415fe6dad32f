"""[encode]: how a released clip becomes latents and text embeddings."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.identity import digest
from schemas.recipe.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class EncodeConfig:
    """How a released clip becomes latents."""

    autoencoder: str = "builtin"
    text_encoder: str = "builtin"
    fps: PositiveFloat = 8.0
    """Frame rate at which clips are encoded; a clip is sampled by time."""
    max_frames: PositiveInt = 17
    """At most this many frames, from the clip's middle; rounded down to 4k + 1."""
    max_pixels_px: PositiveInt = 64 * 96
    """Pixel budget of a frame; larger ones are reduced, aspect ratio kept, sides rounded to 16."""

    @property
    def transform(self) -> str:
        """Fingerprint of what happens to frames before the autoencoder; part of a latent's key."""
        return digest("transform", self.fps, self.max_frames, self.max_pixels_px)
