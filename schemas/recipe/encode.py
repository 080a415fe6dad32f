"""[encode]: how a released clip becomes latents and text embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.identity import digest
from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class EncodeConfig:
    """How a released clip becomes latents."""

    autoencoder: str = "builtin"
    """The codec that makes latents: `builtin`, a folder, or a hub's name (Wan, LTX-Video, CogVideoX of diffusers)."""
    codec_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision in which the codec runs, `bfloat16` usually on GPUs; latents of another precision are other latents."""
    text_encoder: str = "builtin"
    """The model that embeds captions: `builtin`, a folder, or a model hub's name (T5, UMT5, Qwen, CLIP)."""
    text_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision in which the text encoder runs; one that overflows in float16 is refused."""
    fps: PositiveFloat = 8.0
    """Frames per second at which clips are encoded; a clip is sampled by time."""
    max_frames: NonNegativeInt = 0
    """At most this many frames, from the clip's middle, which its caption may not describe; 0 for the whole clip.
    Frames are padded to one and whole strides (`builtin`: 4k + 1)."""
    max_pixels_px: PositiveInt = 1280 * 720
    """Pixels of a frame at most; smaller frames keep their size, larger ones are reduced, aspect kept. Sides are padded
    to two strides (`builtin`: 16 px)."""
    max_tokens: PositiveInt = 2048
    """Patches of 2 x 2 latents of a clip at most: a clip with more has its frames reduced until it has not. A pack of
    training (`train.tokens_per_pack`) must hold it."""
    single_frames: tuple[Literal["first", "middle", "last"], ...] = ()
    """Frames of each clip that are also encoded alone, as videos of one frame; an image is one already."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where codec and text encoder run; `auto` is a GPU where the cluster has one, and else the CPU."""
    num_gpus: PositiveFloat = 1.0
    """GPUs of each encoding actor that runs on one; with a fraction, such as 0.25, several actors share a GPU."""
    num_actors: PositiveInt = 1
    """Actors that encode clips side by side, each with a copy of the codec and a process that decodes for it."""

    @property
    def transform(self) -> str:
        """Fingerprint of what happens to frames before the codec, and of its precision; part of a latent's key."""
        precision = () if self.codec_dtype == "float32" else (self.codec_dtype,)
        return digest("transform", self.fps, self.max_frames, self.max_pixels_px, self.max_tokens, *precision)
