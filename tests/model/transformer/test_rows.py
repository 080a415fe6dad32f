"""Rows applied to tokens: the formula, its gradients, and what is kept for them."""

from __future__ import annotations

import torch

from model.transformer.rows import gate, modulate


def drawn() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x, shift, scale = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (6, 3, 3))
    return x, shift, scale, torch.tensor([0, 2, 2, 0, 1, 2])


def test_tokens_are_scaled_shifted_and_gated_by_their_rows() -> None:
    x, shift, scale, row = drawn()
    torch.testing.assert_close(modulate(x, shift, scale, row), x * (1 + scale[row]) + shift[row])
    torch.testing.assert_close(gate(x, scale, row), x * scale[row])


def test_gradients_are_those_of_the_formula() -> None:
    x, shift, scale, row = (value.requires_grad_(value.is_floating_point()) for value in drawn())
    assert torch.autograd.gradcheck(lambda *values: modulate(*values, row), (x, shift, scale))
    assert torch.autograd.gradcheck(lambda *values: gate(*values, row), (x, scale))


def test_gradients_have_the_precision_of_what_they_are_of() -> None:
    x, shift, scale, row = drawn()
    values = [x.float().requires_grad_(), *(v.bfloat16().requires_grad_() for v in (shift, scale))]
    (modulate(*values, row).sum() + gate(values[0], values[2], row).sum()).backward()
    assert [value.grad.dtype for value in values if value.grad is not None] == [value.dtype for value in values]


def test_no_row_is_kept_for_each_token() -> None:
    num_tokens, num_rows, width = 1000, 2, 8
    x = torch.randn(num_tokens, width, requires_grad=True)
    rows = [torch.randn(num_rows, width, requires_grad=True) for _ in range(2)]
    row = torch.arange(num_tokens) % num_rows
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        gate(modulate(x, *rows, row), rows[0], row)
    assert sum(kept) <= 2 * (x.numel() + num_tokens + num_rows * width)
