"""Settings of the models that look at clips: overlay text, embeddings, aesthetics, safety, captions."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class FramesConfig:
    """The frames that models look at: spread over the whole clip, native aspect ratio, a pixel budget."""

    num_frames: PositiveInt = 8
    max_pixels_px: PositiveInt = 128 * 128


@dataclass(frozen=True, config=STRICT)
class CaptionConfig:
    """Who writes the captions."""

    backend: Literal["transformers", "vllm", "none"] = "transformers"
    """`none` writes no captions."""
    checkpoint: str = "builtin"
    """`builtin`, a folder, or a model hub's name."""
    num_frames: PositiveInt = 8
    max_pixels_px: PositiveInt = 64 * 48
    """Pixel budget of a frame as the model sees it; the built-in one was fitted at this."""
    max_new_tokens: PositiveInt = 96
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    engine_options: dict[str, Any] = field(default_factory=dict)
    """Given to the engine as they are, as vLLM's tensor_parallel_size; they say how fast, not what."""
    batch_clips: PositiveInt = 16
    num_gpus: NonNegativeFloat = 0.0
    """GPUs of each captioner actor; 0 runs on the CPU."""
    num_actors: PositiveInt = 1


@dataclass(frozen=True, config=STRICT)
class EmbeddingConfig:
    """The open_clip model for embeddings and text-video similarity; `batch` and `device` change speed only."""

    model: str = "builtin"
    """`builtin`, a folder, or an open_clip name."""
    batch: int = 64
    device: str = "cpu"


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


@dataclass(frozen=True, config=STRICT)
class AestheticConfig:
    """A head on image embeddings that says how much people like a picture; off without one."""

    head: str = ""
    """Path of the head's weights (.safetensors or .pth), for example LAION's for ViT-L/14."""
    model: str = "ViT-L-14-quickgelu/openai"
    """The open_clip model that the head was fitted on."""
    device: str = "cpu"


@dataclass(frozen=True, config=STRICT)
class SafetyConfig:
    """An image classifier that tells unsafe pictures; off without one."""

    model: str = ""
    """A folder or a hub name, for example Falconsai/nsfw_image_detection."""
    unsafe_labels: tuple[str, ...] = (
        "nsfw",
        "porn",
        "pornography",
        "hentai",
        "hentai picture",
        "sexy",
        "enticing or sensual",
    )
    device: str = "cpu"
