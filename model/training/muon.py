"""Muon: momentum whose matrices are replaced by their nearest orthogonal ones (Jordan et al. 2024).

Every direction of a weight matrix then moves at the same pace, which fits small convolutional networks in about half
the steps of AdamW. Convolution kernels are taken as matrices of output channels by the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from model.training.parallel import held_like, whole

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration that pulls singular values towards 1 fastest (Jordan et al. 2024)."""
ITERATIONS = 5


def orthogonalise(matrix: Tensor) -> Tensor:
    """A matrix with its singular values pulled to about 1, by Newton-Schulz iteration; or each of a stack of them."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; for parameters of two or more dimensions.

    It computes in the precision of the parameters. `torch.optim.Muon` orthogonalises in bfloat16, which takes a CPU
    without units for it twenty times as long. Where workers share a matrix, each gathers and orthogonalises all of it.

    Args:
        weight_decay: share of a parameter that a step of learning rate 1 takes away, whatever the gradient.
        like_adamw: steps as long as AdamW's, so that one learning rate serves both: the root mean square of an update
            is 0.2 times the learning rate (Liu et al. 2025, arXiv:2502.16982, equation 4).
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        like_adamw: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "like_adamw": like_adamw}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in (p for p in group["params"] if p.grad is not None):
                velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
                velocity.lerp_(parameter.grad, 1 - group["momentum"])
                update = whole(parameter.grad.lerp(velocity, group["momentum"])).flatten(1)
                by_shape[update.shape].append((parameter, update))
            for (rows, columns), pairs in by_shape.items():
                scale = 0.2 * max(rows, columns) ** 0.5 if group["like_adamw"] else max(1.0, rows / columns) ** 0.5
                steps = orthogonalise(torch.stack([update for _, update in pairs]))
                for (parameter, _), step in zip(pairs, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    step_like = held_like(step.view(parameter.shape), parameter)
                    parameter.add_(step_like, alpha=-group["lr"] * scale)
