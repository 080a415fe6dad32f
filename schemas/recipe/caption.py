"""[caption]: who writes the captions, and from what."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.recipe.engine import EngineSettings
from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class CaptionConfig(EngineSettings):
    """Who writes the captions, and from what. See `pipeline/caption/backends/catalogue.py` for the backends."""

    backend: Literal["transformers", "vllm", "openai", "coca", "none"] = "transformers"
    """`coca` is a CoCa of open_clip, which takes no prompt and says a sentence; `none` writes no captions."""
    prompt: str = "caption-builtin"
    """A template of `pipeline/caption/prompts`, or a file. `caption` is for models other than the built-in one."""
    language: str = "en"
    """ISO 639-1 code of the language asked for."""
    hints: bool = False
    """Tell the model what was measured: camera motion and on-screen text."""
    num_frames: PositiveInt = 8
    """Frames of each window that the model is shown, spread evenly by time."""
    max_pixels_px: PositiveInt = 80 * 64
    """Pixels of a frame at most, as the model sees it; the built-in one was fitted at this."""
    window_s: PositiveFloat = 60.0
    """Seconds; a longer clip is described in equal parts no longer than this, which are then merged."""
    max_new_tokens: PositiveInt = 192
    """Tokens of an answer at most."""
    retry_temperature: PositiveFloat = 0.7
    """A rejected caption is retried once, sampled at this temperature with twice the tokens."""
    compare_samples: bool = False
    """Draw a second caption of each clip and measure how far the two agree; costs twice the tokens."""
    rewrite: str = ""
    """Template by which the caption is merged with the source's own text, as `rewrite`; empty for no merging."""
    rewrite_checkpoint: str = ""
    """Another model for merging, such as `smollm2-135m`, on the same backend; empty for the one that captions."""
    batch_clips: PositiveInt = 32
    """Clips that a captioner actor is given at once."""
    stall_s: PositiveFloat = 1800.0
    """Seconds; a captioner actor that finishes no batch for so long is killed, and another is started."""
    num_gpus: NonNegativeFloat = 0.0
    """GPUs of each captioner actor; 0 runs on the CPU."""
    num_actors: PositiveInt = 1
    """Captioners that work side by side, each a process with a copy of the model."""


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
