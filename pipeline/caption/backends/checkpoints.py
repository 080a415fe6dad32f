"""What a checkpoint says of itself: the grid its frames must lie on, and its prompt as text."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from pipeline.caption.backends.engine import Request
from pipeline.caption.prompts.templates import PromptTemplate, chat


def grid_px(config: PretrainedConfig) -> int:
    """Sides of frames are multiples of this: patch times merge in the Qwen-VL family, patch elsewhere.

    Raises:
        ValueError: the checkpoint has no vision tower with a patch size.
    """
    vision = getattr(config, "vision_config", None)
    patch = getattr(vision, "patch_size", None)
    if not isinstance(patch, int):
        raise ValueError(f"checkpoint of type {config.model_type!r} sees nothing: its config has no vision patch size")
    return patch * int(getattr(vision, "spatial_merge_size", 1))


def told_fps(config: PretrainedConfig) -> float | None:
    """The one rate of frames that a checkpoint wants to be told (the builtin's does), None for the clip's own."""
    return getattr(config, "told_fps", None)


def messages(request: Request) -> list[dict]:
    """A request as chat messages; where its frames go a part says "video" and no more."""
    template = PromptTemplate(user=request.user, system=request.system)
    return chat(template, request.user, video=request.frames is not None)


def prompt_text(processor: Any, request: Request) -> str:
    """A request by the checkpoint's own chat template, ready to be answered.

    Raises:
        ValueError: the request's text holds a control token, which would be read as one (titles come from anywhere).
    """
    for token in processor.tokenizer.added_tokens_encoder:
        if token in request.system or token in request.user:
            raise ValueError(f"the text holds the control token {token!r}")
    return str(processor.apply_chat_template(messages(request), add_generation_prompt=True, tokenize=False))


def video_metadata(request: Request) -> dict[str, Any]:
    """A request's frames as both backends want them described: already sampled, at a steady rate."""
    assert request.frames is not None
    num_frames = len(request.frames)
    return {
        "fps": request.fps,
        "duration": num_frames / request.fps,
        "total_num_frames": num_frames,
        "frames_indices": list(range(num_frames)),
    }
