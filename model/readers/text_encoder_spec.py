"""What a text encoder's files say of it, its width and its fingerprint; no weights are loaded.

A folder is read without torch as well. Of a model hub's name only the config is asked for, of the copy on this machine
or of the hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.builtin import CLIP_CONFIG_NAME, clip_folder
from model.checkpoint import read_config, read_json
from schemas.identity import digest, folder_digest

MAX_TOKENS = 512
"""Longer texts are cut, as by Wan 2.1 (umT5, 512 tokens); a CLIP tower cuts at its own context length."""
DTYPE = "float32"
"""In which transformers' models are run unless another is asked for."""
OPEN_CLIP_WIDTH = 512
"""Width of a text tower whose config has none (open_clip's `CLIPTextCfg`)."""
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth")


@dataclass(frozen=True)
class TextEncoderSpec:
    """Width of a text encoder's token states, and the name of all that they depend on."""

    width: int
    fingerprint: str


def text_encoder_spec(name: str = "builtin") -> TextEncoderSpec:
    """The spec of the encoder that `load_text_encoder` loads by this name.

    Raises:
        ValueError: no such encoder, here or on the hub.
    """
    clip = clip_folder(name)
    if clip is not None:
        _require_weights(clip)
        return TextEncoderSpec(_clip_width(clip), clip_fingerprint(folder_digest(clip)))
    if not Path(name).is_dir():
        config = transformers_config(name)
        return TextEncoderSpec(transformers_width(config), transformers_fingerprint((name, config._commit_hash)))
    config = read_config(name)
    _require_weights(Path(name))
    config = config.get("text_config", config)
    width = config.get("hidden_size") or config.get("d_model") or transformers_width(transformers_config(name))
    return TextEncoderSpec(width, transformers_fingerprint(folder_digest(name)))


def clip_fingerprint(clip: str) -> str:
    """Of the text states of the open_clip model with this fingerprint."""
    return digest("clip text states", clip)


def transformers_fingerprint(source: object, dtype: str = DTYPE) -> str:
    """Of the text states of one of transformers' models.

    Args:
        source: digest of its folder, or its name and commit on the hub.
    """
    return digest("transformers text states", source, dtype, MAX_TOKENS)


def transformers_config(name: str) -> Any:
    """The config by folder or by hub name.

    Raises:
        ValueError: transformers finds no model of that name.
    """
    from transformers import AutoConfig  # takes seconds, and imports torch

    try:
        return AutoConfig.from_pretrained(name)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"text encoder {name!r} is no checkpoint folder, was not downloaded before and cannot be now: {reason}"
        ) from error


def transformers_width(config: Any) -> int:
    """Width of the token states."""
    return int(config.get_text_config().hidden_size)


def _clip_width(folder: Path) -> int:
    text = read_json(folder / CLIP_CONFIG_NAME)["model_cfg"]["text_cfg"]
    if "hf_model_name" in text or text.get("no_causal_mask"):
        raise ValueError(f"{folder / CLIP_CONFIG_NAME}: the text tower is not open_clip's causal transformer")
    return text.get("width", OPEN_CLIP_WIDTH)


def _require_weights(folder: Path) -> None:
    if not any(file for pattern in WEIGHT_FILES for file in folder.glob(pattern)):
        raise ValueError(f"{folder} holds no checkpoint: no weights beside the config")
