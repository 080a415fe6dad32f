"""Low-rank additions in checkpoints: A and B alone, and what they are to by a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model.training.checkpoints import Checkpoint
from model.transformer.lora import additions
from schemas.identity import bytes_digest, digest
from schemas.recipe.train import LoraConfig


def checkpoint_weights(model: nn.Module) -> dict[str, Tensor]:
    """What a checkpoint holds of a model: additions alone, where there are any, or all weights."""
    return dict(additions(model)) or dict(model.state_dict())


def load_checkpoint_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load what `checkpoint_weights` gave.

    Raises:
        RuntimeError: weights of another model, or of other additions.
    """
    own = additions(model)
    if own and own.keys() != weights.keys():
        raise RuntimeError(f"not the additions of this model: {sorted(own.keys() ^ weights.keys())[:3]}")
    model.load_state_dict(dict(model.state_dict() if own else {}) | dict(weights))


def weights_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and values, as 16 hex characters."""
    return digest(*((name, *_content(weights[name])) for name in sorted(weights)))


def _content(tensor: Tensor) -> tuple[str, tuple[int, ...], str]:
    data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
    return str(tensor.dtype), tuple(tensor.shape), bytes_digest(data)


def lora_state(config: LoraConfig, base: str) -> dict[str, Any]:
    """What a checkpoint says of its additions.

    Args:
        base: fingerprint of the weights that they are to.
    """
    return {"rank": config.rank, "alpha": config.alpha, "targets": list(config.targets), "base": base}


def require_same_lora(checkpoint: Checkpoint, config: LoraConfig, base: str) -> None:
    """Raise ValueError, with the setting at fault, if the checkpoint holds other additions, or those to other
    weights."""
    had = checkpoint.state().get("lora", {"rank": 0})
    now = lora_state(config, base) if config.rank else {"rank": 0}
    for name, there in had.items():
        if now.get(name) != there:
            raise ValueError(f"lora.{name} = {now.get(name)}: {checkpoint.folder} was trained with {there}")
