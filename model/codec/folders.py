"""Which folder the name of a codec stands for: the built-in one, a folder, or one that is downloaded from the hub."""

from __future__ import annotations

import re
from pathlib import Path

from model.builtin import BUILTIN, WEIGHTS

PIPELINE_FILE, PIPELINE_CODEC = "model_index.json", "vae"
"""What makes a folder one of diffusers' pipelines, and where its codec lies in it."""
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
CODEC_FILES = ("*.json", "*.safetensors")


def codec_folder(name: str) -> Path:
    """The folder of the video codec that `name` stands for; it may lack a checkpoint.

    Args:
        name: `builtin`; a folder of a codec, or of a pipeline of diffusers that has one in `vae`; or `owner/name` of
            either on the hub, whose files are downloaded unless they were before.
    Raises:
        ValueError: a hub's name whose files are not here and cannot be downloaded.
    """
    if name == BUILTIN:
        return WEIGHTS / "autoencoder"
    folder = Path(name)
    if not folder.exists() and HUB_NAME.fullmatch(name):
        folder = _downloaded(name)
    return folder / PIPELINE_CODEC if (folder / PIPELINE_FILE).is_file() else folder


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        listing = snapshot_download(name, allow_patterns=[PIPELINE_FILE, "config.json"])
        inside = f"{PIPELINE_CODEC}/" if (Path(listing) / PIPELINE_FILE).is_file() else ""
        return Path(snapshot_download(name, allow_patterns=[PIPELINE_FILE, *(inside + kind for kind in CODEC_FILES)]))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"codec {name!r} is no checkpoint folder, was not downloaded before and cannot be now: {reason}"
        ) from error
