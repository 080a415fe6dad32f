"""A trained transformer for use: the weights of a run's newest checkpoint, of a folder that they were put into, or of a
folder of diffusers.

FOLDER/transformer/     model.safetensors and its sizes in config.json; no optimizer, no checkpoints
RUN/base.json           where the weights lie that the low-rank additions of a run are to
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from model.builtin import BUILTIN, TRANSFORMER_FOLDER, run_folder
from model.checkpoint import load_weights, read_config, read_json, save_model, with_tuples, write_json
from model.training.additions import load_checkpoint_weights, weights_fingerprint
from model.training.checkpoints import Checkpoint, RunFolder
from model.training.post_hoc import Profile, exponent_of
from model.training.snapshots import average_of_length
from model.transformer.config import TransformerConfig
from model.transformer.lora import add_lora, load_base, merge_lora
from model.transformer.published.folders import published_folder
from model.transformer.transformer import Transformer
from schemas.recipe.train import LoraConfig

EXPORTED = "transformer"
BASE = "base.json"
Weights = Literal["average", "longer_average", "model"] | float
"""One of the two averages that a run keeps, the weights of the last step, or an average of a relative length (EDM2)."""


@dataclass(frozen=True)
class Base:
    """What the additions of a run are to."""

    folder: str
    """`builtin`, or where the weights lay."""
    fingerprint: str


def base_at(folder: Path, weights: Mapping[str, Tensor]) -> Base:
    """The note of weights and of the folder that they were loaded from."""
    name = BUILTIN if folder == TRANSFORMER_FOLDER else str(folder.resolve())
    return Base(name, weights_fingerprint(weights))


def load_transformer(folder: Path | str, weights: Weights = "average") -> Transformer:
    """The transformer of a run, of a folder that `save_transformer` wrote, or of one of diffusers, for inference, in
    float32. Low-rank additions are merged into the weights.

    Raises:
        ValueError: there is none of these, or what its additions are to is not what it was; or no average can be made
            of that length.
    """
    transformer = with_additions(folder, weights)
    merge_lora(transformer)
    return transformer.requires_grad_(False)


def with_additions(folder: Path | str, weights: Weights = "average") -> Transformer:
    """As `load_transformer`, with low-rank additions beside the weights, where it has any."""
    exported, published = Path(folder) / EXPORTED, published_folder(folder)
    checkpoint = RunFolder(folder).newest_good()
    if checkpoint is not None:
        transformer = _of_checkpoint(Path(folder), checkpoint, weights)
    elif isinstance(weights, float):
        raise ValueError(f"{folder} has no run with averages of which one of length {weights:g} can be made")
    elif published is not None:
        transformer = published.transformer().float()
    elif exported.exists():
        transformer = Transformer(TransformerConfig(**with_tuples(read_config(exported))))
        load_weights(exported, transformer)
    else:
        raise ValueError(f"{folder} has no checkpoint: train it first")
    return transformer.eval().requires_grad_(False)


def config_in(folder: Path | str) -> TransformerConfig:
    """The settings of the transformer in a folder that `load_transformer` takes; no weights are read.

    Raises:
        ValueError: there is none.
    """
    exported, published = Path(folder) / EXPORTED, published_folder(folder)
    checkpoint = RunFolder(folder).newest()
    if checkpoint is not None:
        return TransformerConfig(**with_tuples(checkpoint.state()["transformer"]))
    if published is not None:
        return published.config
    if exported.exists():
        return TransformerConfig(**with_tuples(read_config(exported)))
    raise ValueError(f"{folder} has no checkpoint: train it first")


def _of_checkpoint(run: Path, checkpoint: Checkpoint, weights: Weights) -> Transformer:
    transformer = Transformer(TransformerConfig(**with_tuples(checkpoint.state()["transformer"])))
    if lora := checkpoint.state().get("lora"):
        fingerprint = lora.pop("base")
        load_base(transformer, base_weights(run, fingerprint).state_dict())
        add_lora(transformer, LoraConfig(**with_tuples(lora)))
    load_checkpoint_weights(transformer, _weights_of(run, checkpoint, weights))
    return transformer


def _weights_of(run: Path, checkpoint: Checkpoint, weights: Weights) -> Mapping[str, Tensor]:
    if not isinstance(weights, float):
        return checkpoint.tensors(weights)
    snapshots = RunFolder(run).snapshots()
    if not snapshots:
        raise ValueError(f"{run} has no snapshots of averages, of which another could be made")
    lengths = snapshots[0].state()["settings"]["average_lengths"]
    return average_of_length(snapshots, lengths, Profile(checkpoint.step, exponent_of(weights)))


def base_weights(run: Path, fingerprint: str) -> Transformer:
    """What the additions of a run are to.

    Raises:
        ValueError: it is not there, or has changed.
    """
    base = read_base(run)
    if base is None:
        raise ValueError(f"{run} has no {BASE}, which names the weights that its additions are to")
    try:
        transformer = load_transformer(run_folder(base.folder))
    except ValueError as error:
        raise ValueError(f"what the additions are to is no longer there ({run / BASE}): {error}") from error
    if weights_fingerprint(transformer.state_dict()) != fingerprint:
        raise ValueError(f"{base.folder} has changed since additions to it were trained ({run / BASE})")
    return transformer


def read_base(run: Path | str) -> Base | None:
    """What the additions of a run are to; None for a run without."""
    path = Path(run) / BASE
    return Base(**read_json(path)) if path.exists() else None


def write_base(run: Path | str, base: Base) -> None:
    write_json(Path(run) / BASE, asdict(base))


def save_transformer(folder: Path | str, transformer: Transformer, *, dtype: torch.dtype) -> None:
    """Put a transformer's weights, in a precision, into a folder."""
    save_model(Path(folder) / EXPORTED, transformer, asdict(transformer.config), dtype=dtype)
