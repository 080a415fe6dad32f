"""Where a checkpoint is, and what its files say: the grid that frames must lie on, and the chat template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.builtin import BUILTIN, WEIGHTS
from pipeline.caption.engine import Request
from pipeline.caption.prompts.templates import PromptTemplate, chat
from schemas.recipe.engine import EngineSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig

BUILTIN_FOLDER = WEIGHTS / "captioner"


def checkpoint_of(settings: EngineSettings, builtin: Path = BUILTIN_FOLDER) -> str:
    """The folder or hub name that a checkpoint is loaded from; `builtin` is the folder that "builtin" means."""
    return str(builtin) if settings.checkpoint == BUILTIN else settings.checkpoint


def grid_px(config: PretrainedConfig) -> int:
    """Sides of frames are multiples of this: patch size times merge size in the Qwen-VL family, else the patch size.

    Raises:
        ValueError: the checkpoint has no vision tower with a patch size.
    """
    vision = getattr(config, "vision_config", None)
    patch = getattr(vision, "patch_size", None)
    if not isinstance(patch, int):
        raise ValueError(f"checkpoint of type {config.model_type!r} sees nothing: its config has no vision patch size")
    return patch * int(getattr(vision, "spatial_merge_size", 1))


def told_fps(config: PretrainedConfig) -> float | None:
    """The one frame rate that a checkpoint expects to read (the built-in one does); None for the clip's own."""
    return getattr(config, "told_fps", None)


def messages(request: Request) -> list[dict]:
    """A request as chat messages, with an empty part of type "video" where its frames go."""
    template = PromptTemplate(user=request.user, system=request.system)
    return chat(template, request.user, video=request.frames is not None)


def prompt_text(processor: Any, request: Request) -> str:
    """A request as text by the checkpoint's own chat template, up to where the answer begins.

    Raises:
        ValueError: the request's text holds a control token, which would be read as one (titles come from anywhere).
    """
    for token in processor.tokenizer.added_tokens_encoder:
        if token in request.system or token in request.user:
            raise ValueError(f"the text holds the control token {token!r}")
    return str(processor.apply_chat_template(messages(request), add_generation_prompt=True, tokenize=False))


def video_metadata(request: Request) -> dict[str, Any]:
    """A request's frames as transformers and vLLM describe them: already sampled, at a steady rate."""
    assert request.frames is not None
    num_frames = len(request.frames)
    return {
        "fps": request.fps,
        "duration": num_frames / request.fps,
        "total_num_frames": num_frames,
        "frames_indices": list(range(num_frames)),
    }
