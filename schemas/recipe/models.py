"""Settings of the models that look at clips: overlay text, embeddings, aesthetics, safety, captions."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.recipe.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class FramesConfig:
    """The frames that models look at: spread over the whole clip, native aspect ratio, a pixel budget."""

    num_frames: PositiveInt = 8
    max_pixels_px: PositiveInt = 128 * 128


@dataclass(frozen=True, config=STRICT)
class EngineSettings:
    """Which model runs on what. All but `checkpoint` and `dtype` say how fast, not what."""

    backend: Literal["transformers", "vllm", "openai"] = "transformers"
    """`openai` asks a server of that protocol, as `vllm serve` is."""
    checkpoint: str = "builtin"
    """`builtin`, a folder, or a model hub's name; for `openai` the name that the server knows the model by."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    engine_options: dict[str, Any] = field(default_factory=dict)
    """Given to the engine as they are, as vLLM's tensor_parallel_size."""
    batch: PositiveInt = 16
    """Requests that transformers takes at once."""
    url: str = ""
    """Of the server, up to /v1."""
    api_key_env: str = ""
    """Name of the environment variable that holds the server's key."""
    concurrency: PositiveInt = 16
    timeout_s: PositiveFloat = 120.0
    attempts: PositiveInt = 4
    """Requests in flight, patience for each, and how often one is tried."""


@dataclass(frozen=True, config=STRICT)
class CaptionConfig(EngineSettings):
    """Who writes the captions, and from what."""

    backend: Literal["transformers", "vllm", "openai", "coca", "none"] = "transformers"
    """`coca` is a CoCa of open_clip, which takes no prompt and says a sentence; `none` writes no captions."""
    prompt: str = "caption-builtin"
    """A template of `pipeline/prompts`, or a file. `caption` is for models other than the built-in one."""
    language: str = "en"
    """ISO 639-1 code of the language asked for."""
    hints: bool = False
    """Tell the model what was measured: camera motion and on-screen text."""
    num_frames: PositiveInt = 8
    max_pixels_px: PositiveInt = 80 * 64
    """Pixel budget of a frame as the model sees it; the built-in one was fitted at this."""
    window_s: PositiveFloat = 60.0
    """A longer clip is described in equal parts no longer than this, each with `num_frames`, which are then merged."""
    max_new_tokens: PositiveInt = 192
    retry_temperature: PositiveFloat = 0.7
    """A caption that a rule rejects is asked for once more, drawn at this temperature with twice the room."""
    compare_samples: bool = False
    """Draw a second caption of each clip and measure how far the two agree; costs twice the tokens."""
    rewrite: str = ""
    """Template by which the caption is merged with the source's own text, as `rewrite`; empty for no merging."""
    batch_clips: PositiveInt = 32
    """Clips that a captioner actor is given at once."""
    stall_s: PositiveFloat = 1800.0
    """A captioner actor that ends no batch for so long is killed, and another started."""
    num_gpus: NonNegativeFloat = 0.0
    """GPUs of each captioner actor; 0 runs on the CPU."""
    num_actors: PositiveInt = 1


@dataclass(frozen=True, config=STRICT)
class ExpandConfig(EngineSettings):
    """Who expands short prompts."""

    prompt: str = "expand-builtin"
    """A template of `pipeline/prompts`, or a file. `expand` is for models other than the built-in one."""
    num_examples: PositiveInt = 6
    """Captions of the release that a template with `{examples}` shows."""
    max_new_tokens: PositiveInt = 256
    temperature: NonNegativeFloat = 0.0
    """0 fills in the likeliest; above, what is left open differs by seed."""


LANGUAGES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "pt": "Portuguese",
    "ru": "Russian",
    "zh": "Chinese",
}
"""What a prompt calls the languages whose captions can be checked."""


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
