"""What a text encoder's files say of it, its width and its fingerprint; no weights are loaded.

Nor is torch imported, unless a config leaves the width to transformers. Of a model hub's name only the config is
downloaded, or found where it was downloaded to before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.builtin import CLIP_CONFIG_NAME, clip_folder
from model.checkpoint import CONFIG_FILE, read_config, read_json
from schemas.identity import digest, folder_digest

MAX_TOKENS = 512
"""Longer texts are cut, as by Wan 2.1 (umT5, 512 tokens); a CLIP tower cuts at its own context length."""
DTYPE = "float32"
"""In which encoders are run unless another is asked for."""
OPEN_CLIP_WIDTH = 512
"""Width of a text tower whose config has none (open_clip's `CLIPTextCfg`)."""
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth")


@dataclass(frozen=True)
class TextEncoderSpec:
    """Width of a text encoder's token states, and the name of all that they depend on."""

    width: int
    fingerprint: str


def text_encoder_spec(name: str = "builtin", dtype: str = DTYPE) -> TextEncoderSpec:
    """The spec of the encoder that `load_text_encoder` loads by this name in this precision.

    Raises:
        ValueError: no such encoder, here or on the hub.
    """
    clip = clip_folder(name)
    if clip is not None:
        _require_weights(clip)
        return TextEncoderSpec(_clip_width(clip), clip_fingerprint(folder_digest(clip), dtype))
    folder = config_folder(name)
    config = read_config(folder)
    if Path(name).is_dir():
        _require_weights(folder)
    config = config.get("text_config", config)
    width = config.get("hidden_size") or config.get("d_model") or transformers_width(transformers_config(folder))
    return TextEncoderSpec(width, transformers_fingerprint(name, folder, dtype))


def clip_fingerprint(clip: str, dtype: str = DTYPE) -> str:
    """Of the text states of the open_clip model with this fingerprint."""
    return digest("clip text states", clip, dtype)


def transformers_fingerprint(name: str, folder: Path, dtype: str = DTYPE) -> str:
    """Of the text states of one of transformers' models, known by its files, or by its name and commit on the hub.

    Args:
        folder: `config_folder(name)`; that of a hub's model is called after the commit.
    """
    source = folder_digest(name) if Path(name).is_dir() else (name, folder.name)
    return digest("transformers text states", source, dtype, MAX_TOKENS)


def config_folder(name: str) -> Path:
    """Where the config of one of transformers' models lies: in its folder, or in the copy of what is on the hub.

    Raises:
        ValueError: no folder, and the hub's config is neither here nor can it be downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, CONFIG_FILE)).parent
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"text encoder {name!r} is no checkpoint folder, was not downloaded before and cannot be now: {reason}"
        ) from error


def transformers_config(folder: Path) -> Any:
    """The config as transformers reads it.

    Raises:
        ValueError: transformers finds none there, or knows no such model.
    """
    from transformers import AutoConfig  # takes seconds, and imports torch

    try:
        return AutoConfig.from_pretrained(folder)
    except OSError as error:
        raise ValueError(f"{folder} holds no checkpoint: {' '.join(str(error).split())}") from error


def transformers_width(config: Any) -> int:
    """Width of the token states."""
    return int(config.get_text_config().hidden_size)


def max_tokens(config: Any) -> int:
    """Tokens to which a text is cut."""
    return min(MAX_TOKENS, getattr(config.get_text_config(), "max_position_embeddings", None) or MAX_TOKENS)


def _clip_width(folder: Path) -> int:
    text = read_json(folder / CLIP_CONFIG_NAME)["model_cfg"]["text_cfg"]
    if "hf_model_name" in text or text.get("no_causal_mask"):
        raise ValueError(f"{folder / CLIP_CONFIG_NAME}: the text tower is not open_clip's causal transformer")
    return text.get("width", OPEN_CLIP_WIDTH)


def _require_weights(folder: Path) -> None:
    if not any(file for pattern in WEIGHT_FILES for file in folder.glob(pattern)):
        raise ValueError(f"{folder} holds no checkpoint: no weights beside the config")
