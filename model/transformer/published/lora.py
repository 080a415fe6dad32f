"""Low-rank additions as diffusers loads them (`load_lora_weights`, `load_lora_adapter`), in PEFT's format.

Its names are `transformer.LAYER.lora_A.weight`, (rank, inputs), and `transformer.LAYER.lora_B.weight`, (outputs, rank).
Without an `alpha` beside them B A is added as it is, so alpha / rank is put into B. Where a layer of ours computes what
several of theirs do, these have the same A, and each its rows of B.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from model.transformer.lora import LoraLinear
from model.transformer.published.weights import Entry

FILE = "pytorch_lora_weights.safetensors"


def published_lora(entries: Iterable[Entry], layers: Mapping[str, LoraLinear]) -> dict[str, Tensor]:
    """Additions by the names of diffusers.

    Args:
        entries: the map of weights of the class.
        layers: ours with an addition, by name.
    """
    found: dict[str, Tensor] = {}
    for entry in entries:
        name = entry.ours.removesuffix(".weight")
        if name == entry.ours or name not in layers:
            continue
        layer = layers[name]
        parts = entry.give(layer.scale * layer.lora_b)
        for theirs, part in zip(entry.theirs, parts, strict=True):
            prefix = f"transformer.{theirs.removesuffix('.weight')}"
            found |= {f"{prefix}.lora_A.weight": layer.lora_a, f"{prefix}.lora_B.weight": part}
    return {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}


def write_lora(folder: Path, additions: Mapping[str, Tensor]) -> None:
    """Write additions under the name that diffusers looks for in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(additions), folder / FILE, metadata={"format": "pt"})
