"""A trained transformer for use: the weights of a run's newest checkpoint, or a folder that they were put into.

FOLDER/transformer/     model.safetensors and its sizes in config.json; no optimizer, no checkpoints
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch

from model.checkpoint import load_weights, read_config, save_model, with_tuples
from model.training.checkpoints import RunFolder
from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer

EXPORTED = "transformer"
Weights = Literal["ema", "model"]
"""The averaged weights, or those of the last step."""


def load_transformer(folder: Path | str, weights: Weights = "ema") -> Transformer:
    """The transformer of a run, or of a folder that `save_transformer` wrote, for inference.

    Raises:
        ValueError: there is neither.
    """
    exported = Path(folder) / EXPORTED
    checkpoint = RunFolder(folder).newest_good()
    if checkpoint is not None:
        transformer = Transformer(TransformerConfig(**with_tuples(checkpoint.state()["transformer"])))
        transformer.load_state_dict(checkpoint.tensors(weights))
    elif exported.exists():
        transformer = Transformer(TransformerConfig(**with_tuples(read_config(exported))))
        load_weights(exported, transformer)
    else:
        raise ValueError(f"{folder} has no checkpoint: train it first")
    return transformer.eval().requires_grad_(False)


def save_transformer(folder: Path | str, transformer: Transformer, *, dtype: torch.dtype) -> None:
    """Put a transformer's weights, in a precision, into a folder."""
    save_model(Path(folder) / EXPORTED, transformer, asdict(transformer.config), dtype=dtype)
