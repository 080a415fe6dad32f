"""The optimizers of a run, and how their learning rates rise and fall over its steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.training.muon import Muon
from schemas.recipe.train import TrainConfig

BETAS = (0.9, 0.95)
"""AdamW's averages, as is usual for transformers since GPT-3."""


@dataclass(frozen=True)
class Optimizers:
    """One or two optimizers, each with the learning rate at its peak and the parameters that it moves, by name."""

    parts: Sequence[tuple[torch.optim.Optimizer, float, Mapping[str, Tensor]]]

    @classmethod
    def of(cls, model: nn.Module, config: TrainConfig) -> Optimizers:
        """AdamW for all parameters that are trained; or Muon for the matrices of the blocks, which it was made for, and
        AdamW for the rest."""
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        muon = {name: p for name, p in named.items() if config.optimizer == "muon" and is_hidden_matrix(name, p)}
        rest = {name: p for name, p in named.items() if name not in muon}
        decay, parts = config.weight_decay, []
        if rest:
            adamw = torch.optim.AdamW(rest.values(), lr=config.learning_rate, betas=BETAS, weight_decay=decay)
            parts.append((adamw, config.learning_rate, rest))
        if muon:
            rate = config.matrix_learning_rate
            parts.append((Muon(muon.values(), lr=rate, weight_decay=decay), rate, muon))
        return cls(parts)

    def step(self, share: float) -> None:
        """One step of all of them, at a share of their peak learning rates."""
        for optimizer, peak, _ in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = share * peak
            optimizer.step()

    def zero_grad(self) -> None:
        """Gradients to zero; they stay tensors, so that a worker without a pack has some to add."""
        for optimizer, _, _ in self.parts:
            optimizer.zero_grad(set_to_none=False)

    def tensors(self) -> dict[str, Tensor]:
        """What they keep between steps, as `parameter.key`."""
        return {
            f"{name}.{key}": value
            for optimizer, _, parameters in self.parts
            for name, parameter in parameters.items()
            for key, value in optimizer.state[parameter].items()
        }

    def make_room(self, sizes: Mapping[str, torch.Size]) -> None:
        """Make the tensors of these names and sizes, as zeros, for what is read into them."""
        keys: dict[str, list[tuple[str, torch.Size]]] = defaultdict(list)
        for name, size in sizes.items():
            owner, _, key = name.rpartition(".")
            keys[owner].append((key, size))
        for optimizer, _, parameters in self.parts:
            for name, parameter in parameters.items():
                room = {k: torch.zeros_like(parameter) if size else torch.zeros(()) for k, size in keys[name]}
                optimizer.state[parameter] = room


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a matrix between hidden states, and not one that reads or writes what is outside."""
    return parameter.ndim == 2 and name.startswith("blocks.")


def rate_share(step: int, config: TrainConfig) -> float:
    """Share of the peak learning rate at a step, from 1: a rise to it, and a straight fall over the last steps.

    The last step has the last share above zero.
    """
    rise = min(1.0, step / max(config.warmup_steps, 1))
    falling = round(config.decay_share * config.steps)
    return rise if not falling else rise * min(1.0, (config.steps - step + 1) / falling)
