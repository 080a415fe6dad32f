"""[encode]: how a released clip becomes latents and text embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.identity import digest
from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class EncodeConfig:
    """How a released clip becomes latents."""

    autoencoder: str = "builtin"
    """The codec that makes latents: `builtin`, a folder, or a hub's name (Wan, LTX-Video, CogVideoX of diffusers)."""
    text_encoder: str = "builtin"
    """The model that embeds captions: `builtin`, a folder, or a model hub's name (T5, UMT5, Qwen, CLIP)."""
    text_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision in which the text encoder runs; one that overflows in float16 is refused."""
    fps: PositiveFloat = 8.0
    """Frames per second at which clips are encoded; a clip is sampled by time."""
    max_frames: PositiveInt = 17
    """At most this many frames, from the clip's middle; padded to one and whole strides (`builtin`: 4k + 1)."""
    max_pixels_px: PositiveInt = 64 * 96
    """Pixels of a frame at most; larger ones are reduced, aspect kept, and padded to two strides (`builtin`: 16 px)."""

    @property
    def transform(self) -> str:
        """Fingerprint of what happens to frames before the autoencoder; part of a latent's key."""
        return digest("transform", self.fps, self.max_frames, self.max_pixels_px)
