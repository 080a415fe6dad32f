"""Checkpoints: a folder with tensors as safetensors and everything else as JSON, written whole or not at all.

torch is imported by what reads or writes tensors only: a driver that needs a config starts without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS_FILE = "model.safetensors"
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Of safetensors' names for types of floats, numpy's; it has none for the upper halves of 32-bit floats."""
CONFIG_FILE = "config.json"


def save_model(folder: Path | str, model: nn.Module, config: Mapping[str, Any], *, dtype: torch.dtype) -> None:
    """Write a model's weights, in `dtype`, and its config into `folder`; other files there are left alone."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()}
    _replace(folder / WEIGHTS_FILE, lambda path: save_file(tensors, path))
    write_json(folder / CONFIG_FILE, config)


def load_weights(folder: Path | str, model: nn.Module) -> None:
    """Load the weights in `folder` into `model`, in the model's own dtype.

    Raises:
        ValueError: the file is missing, or its tensors are not those of the model.
    """
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS_FILE
    try:
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold the weights that {CONFIG_FILE} beside it describes: {error}") from error


def require_weights(folder: Path | str, file: str = WEIGHTS_FILE) -> None:
    """Check that a checkpoint folder has a whole file of weights; only its header is read.

    Raises:
        ValueError: no file, or a part of one.
    """
    path = Path(folder) / file
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder} holds no checkpoint: {path} cannot be read: {error}") from error


def read_floats(path: Path | str, name: str) -> tuple[float, ...] | None:
    """The values of one small tensor of floats in a safetensors file, or None where the file has no such tensor.

    Only the header and these bytes are read. safetensors' interface to numpy does not read bfloat16.

    Raises:
        ValueError: the tensor is not of floats.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length)).get(name)
        if entry is None:
            return None
        if entry["dtype"] not in FLOATS:
            raise ValueError(f"{path}: {name} is of type {entry['dtype']}, not of floats")
        start, stop = entry["data_offsets"]
        file.seek(8 + length + start)
        values = np.frombuffer(file.read(stop - start), FLOATS[entry["dtype"]])
    if entry["dtype"] == "BF16":
        values = (values.astype("<u4") << 16).view("<f4")
    return tuple(values.astype(float).tolist())


def read_config(folder: Path | str) -> dict[str, Any]:
    """The config of a checkpoint folder.

    Raises:
        ValueError: there is no checkpoint in `folder`.
    """
    try:
        return read_json(Path(folder) / CONFIG_FILE)
    except OSError as error:
        raise ValueError(f"{folder} holds no checkpoint: {error}") from error


def with_tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    """Config values as a frozen dataclass holds them: JSON's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def read_json(path: Path | str) -> dict[str, Any]:
    return json.loads(Path(path).read_text())


def write_json(path: Path | str, value: Mapping[str, Any]) -> None:
    """Write a JSON object; a reader sees the old file or the new one."""
    text = json.dumps(value, indent=2) + "\n"
    _replace(Path(path), lambda target: Path(target).write_text(text))


def _replace(path: Path, write) -> None:
    partial = path.with_name(path.name + ".partial")
    write(partial)
    os.replace(partial, path)
