"""Where a checkpoint is, and what its files say: whether it sees frames, on which grid, and the chat template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.builtin import BUILTIN, WEIGHTS
from pipeline.caption.backends.smollm2 import SMOLLM2, smollm2_digest, smollm2_folder
from pipeline.caption.engine import Request
from pipeline.caption.prompts.templates import chat
from schemas.identity import folder_digest
from schemas.recipe.engine import EngineSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig

BUILTIN_FOLDER = WEIGHTS / "captioner"


def checkpoint_of(settings: EngineSettings, builtin: Path = BUILTIN_FOLDER) -> str:
    """The folder or hub name that a checkpoint is loaded from; `builtin` is the folder that "builtin" means.

    Raises:
        ValueError: the checkpoint comes with an extra that is not installed.
    """
    if settings.checkpoint == SMOLLM2:
        return str(smollm2_folder())
    return str(builtin) if settings.checkpoint == BUILTIN else settings.checkpoint


def checkpoint_digest(name: str, builtin: Path = BUILTIN_FOLDER) -> str:
    """A digest of a checkpoint's files, or the name that a hub knows."""
    if name == SMOLLM2:
        return smollm2_digest()
    folder = builtin if name == BUILTIN else Path(name)
    return folder_digest(folder) if folder.is_dir() else name


def grid_px(config: PretrainedConfig) -> int | None:
    """Sides of frames are multiples of this: patch size times merge size in the Qwen-VL family, else the patch size.

    None of a network of text alone, which has no vision tower with a patch size.
    """
    vision = getattr(config, "vision_config", None)
    patch = getattr(vision, "patch_size", None)
    if not isinstance(patch, int):
        return None
    return patch * int(getattr(vision, "spatial_merge_size", 1))


def told_fps(config: PretrainedConfig) -> float | None:
    """The one frame rate that a checkpoint expects to read (the built-in one does); None for the clip's own."""
    return getattr(config, "told_fps", None)


def messages(request: Request) -> list[dict]:
    """A request as chat messages, with an empty part of type "video" where its frames go."""
    return chat(request.system, request.user, request.turns, video=request.frames is not None)


def prompt_text(processor: Any, request: Request) -> str:
    """A request as text by the checkpoint's own chat template, up to where the answer begins.

    Raises:
        ValueError: the request's text holds a control token, which would be read as one (titles come from anywhere).
    """
    tokenizer = tokenizer_of(processor)
    texts = [request.system, request.user, *(text for turn in request.turns for text in turn)]
    for token in tokenizer.added_tokens_encoder:
        if any(token in text for text in texts):
            raise ValueError(f"the text holds the control token {token!r}")
    asked = messages(request)
    if processor is tokenizer:  # templates of networks of text alone know no lists of parts
        asked = [{"role": one["role"], "content": _text(one["content"])} for one in asked]
    return str(processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))


def _text(content: str | list[dict]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def tokenizer_of(processor: Any) -> Any:
    """A processor's tokenizer; of a network of text alone the processor is one."""
    return getattr(processor, "tokenizer", processor)


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
