"""What a checkpoint says of itself: the grid its frames must lie on, and its prompt as text."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from pipeline.captioners.captioner import Request
from pipeline.captioners.prompts import chat


def grid_px(config: PretrainedConfig) -> int:
    """Sides of frames are multiples of this: patch times merge in the Qwen-VL family, patch elsewhere.

    Raises:
        ValueError: the checkpoint has no vision tower with a patch size.
    """
    vision = getattr(config, "vision_config", None)
    patch = getattr(vision, "patch_size", None)
    if not isinstance(patch, int):
        raise ValueError(
            f"checkpoint of type {config.model_type!r} is no captioner: its config has no vision patch size"
        )
    return patch * int(getattr(vision, "spatial_merge_size", 1))


def told_fps(config: PretrainedConfig) -> float | None:
    """The one rate of frames that a checkpoint wants to be told (the builtin's does), None for the clip's own."""
    return getattr(config, "told_fps", None)


def prompt_text(processor: Any, prompt: str) -> str:
    """One user turn with a video and a question, by the checkpoint's own chat template, ready to be answered."""
    return str(processor.apply_chat_template(chat(prompt), add_generation_prompt=True, tokenize=False))


def video_metadata(request: Request) -> dict[str, Any]:
    """A request's frames as both backends want them described: already sampled, at a steady rate."""
    num_frames = len(request.frames)
    return {
        "fps": request.fps,
        "duration": num_frames / request.fps,
        "total_num_frames": num_frames,
        "frames_indices": list(range(num_frames)),
    }
