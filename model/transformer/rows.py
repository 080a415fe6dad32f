"""Rows of conditioning applied to tokens, without a copy of a row for each token kept for the backward pass.

Autograd would keep what it gathers, 6 x N x D a block: 25 GB for 64k tokens at the size of DiT-XL. Here the rows and
their numbers are kept, and gathered again.

Shapes: N tokens, D channels, R rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def modulate(x_ND: Tensor, shift_RD: Tensor, scale_RD: Tensor, row_N: Tensor) -> Tensor:
    """Adaptive layer norm's affine part (adaLN, Peebles & Xie 2023): x (1 + scale) + shift, of each token's row."""
    return _Modulate.apply(x_ND, shift_RD, scale_RD, row_N)


def gate(x_ND: Tensor, gate_RD: Tensor, row_N: Tensor) -> Tensor:
    """x times the gate of each token's row."""
    return _Gate.apply(x_ND, gate_RD, row_N)


class _Modulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, shift_RD: Tensor, scale_RD: Tensor, row_N: Tensor) -> Tensor:
        ctx.save_for_backward(x_ND, scale_RD, row_N)
        return torch.addcmul(x_ND + shift_RD[row_N], x_ND, scale_RD[row_N])

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, scale_RD, row_N = ctx.saved_tensors
        of_x = torch.addcmul(grad_ND, grad_ND, scale_RD[row_N]).to(x_ND.dtype)
        return of_x, _sums(grad_ND, row_N, scale_RD), _sums(grad_ND * x_ND, row_N, scale_RD), None


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, gate_RD: Tensor, row_N: Tensor) -> Tensor:
        ctx.save_for_backward(x_ND, gate_RD, row_N)
        return x_ND * gate_RD[row_N]

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, gate_RD, row_N = ctx.saved_tensors
        of_x = (grad_ND * gate_RD[row_N]).to(x_ND.dtype)
        return of_x, _sums(grad_ND * x_ND, row_N, gate_RD), None


def _sums(values_ND: Tensor, row_N: Tensor, like_RD: Tensor) -> Tensor:
    """Sum of the tokens of each row, in the same order each time on any device."""
    sums = torch.zeros(like_RD.shape, dtype=values_ND.dtype, device=values_ND.device)
    return sums.index_put_((row_N,), values_ND, accumulate=True).to(like_RD.dtype)
