"""Low-rank additions to the linear layers of a transformer that stays as it is (LoRA, Hu et al. 2022).

A layer W becomes W + alpha / rank B A, where A, (rank, inputs), starts as `nn.Linear` does and B, (outputs, rank), as
zero, so that all answers start as those of the transformer alone. A and B are parameters of the layer itself, named
`LAYER.lora_a` and `LAYER.lora_b`: all else keeps its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer
from schemas.recipe.train import LoraConfig

A, B = "lora_a", "lora_b"


class LoraLinear(nn.Linear):
    """A linear layer that is frozen, with an addition that is trained."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias, self.scale = layer.weight, layer.bias, scale
        place = {"device": layer.weight.device, "dtype": torch.float32}
        self.lora_a = nn.Parameter(torch.empty(rank, layer.in_features, **place))
        self.lora_b = nn.Parameter(torch.zeros(layer.out_features, rank, **place))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.scale * F.linear(F.linear(x, self.lora_a), self.lora_b)

    def merged(self) -> nn.Linear:
        """One layer of the same answers."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        layer.weight = nn.Parameter(self.weight + self.scale * (self.lora_b @ self.lora_a).to(self.weight.dtype))
        layer.bias = self.bias
        return layer


def target_layers(model: Transformer, targets: Sequence[str]) -> list[str]:
    """The names of the linear layers of blocks that targets stand for.

    A target is a part of a name between dots, or the end of one behind an underscore.

    Raises:
        ValueError: a target that no such layer has.
    """
    layers = [name for name, module in model.blocks.named_modules() if type(module) is nn.Linear]
    parts = {name: name.split(".")[1:] for name in layers}  # without the number of the block

    def is_meant(name: str, target: str) -> bool:
        return any(part == target or part.endswith(f"_{target}") for part in parts[name])

    for target in targets:
        if not any(is_meant(name, target) for name in layers):
            known = sorted({part for found in parts.values() for part in found if not part.isdigit()})
            raise ValueError(f"lora.targets: {target!r} is no linear layer of a block; there are {', '.join(known)}")
    return [f"blocks.{name}" for name in layers if any(is_meant(name, target) for target in targets)]


def check_lora(transformer: TransformerConfig, config: LoraConfig) -> None:
    """Raise ValueError, with the setting at fault, if a transformer cannot have these additions; no weight is made."""
    if config.rank:
        with torch.device("meta"):
            add_lora(Transformer(transformer), config)


def add_lora(model: Transformer, config: LoraConfig) -> None:
    """Freeze a transformer, and give the layers that are meant an addition of random A and zero B.

    Raises:
        ValueError: no targets, or one that no layer has.
    """
    if not config.targets:
        raise ValueError("lora.targets = []: name the layers that are trained, as 'attention'")
    names = target_layers(model, config.targets)
    model.requires_grad_(False)
    for name in names:
        layer = cast(nn.Linear, model.get_submodule(name))
        model.set_submodule(name, LoraLinear(layer, config.rank, config.alpha / config.rank))


def merge_lora(model: Transformer) -> None:
    """Put all additions into the weights."""
    for name, layer in lora_layers(model).items():
        model.set_submodule(name, layer.merged())


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """The layers with an addition, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLinear)}


def additions(model: nn.Module) -> dict[str, nn.Parameter]:
    """A and B of all layers that have them, by name."""
    return {f"{name}.{part}": getattr(layer, part) for name, layer in lora_layers(model).items() for part in (A, B)}


def load_base(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the weights that additions are to; A and B stay.

    Raises:
        RuntimeError: weights of another model.
    """
    model.load_state_dict(dict(weights) | additions(model))
