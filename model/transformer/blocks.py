"""Transformer blocks (DiT, Peebles & Xie 2023): self-attention, text cross-attention where there is one, MLP.

Shapes: N tokens of the sequence, D model width, R rows of conditioning, M text tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.transformer.attention import AttentionPlan, CrossAttention, Plan, SelfAttention
from model.transformer.config import TransformerConfig
from model.transformer.rows import gate, modulate


@dataclass(frozen=True)
class View:
    """What blocks read of a table of tokens, on a device."""

    row_N: Tensor
    """The row of conditioning of each token."""
    angles_Nr: Tensor | None
    """Rotary angles; None for other positions."""
    plans: dict[str, Plan]
    """By layout."""
    text_plan: AttentionPlan | None
    """Of cross-attention; None without it."""
    num_video: int
    """Tokens that are not text: the first ones."""


@dataclass(frozen=True)
class Told:
    """What blocks are told."""

    condition_R: Tensor
    """(R, D), or all shifts, scales and gates where they are shared."""
    text_MD: Tensor
    """What cross-attention reads."""


class Block(nn.Module):
    """One block over one kind of token; the first and the last part are scaled and gated by the conditioning."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        D, hidden = config.width, config.hidden
        if config.time_attention:
            self.time_norm = nn.LayerNorm(D, eps=1e-6)
            self.time_attention = SelfAttention(D, config.num_heads, config.qk_norm)
            self.time_out = zero_linear(D, D)
        self.attention = SelfAttention(D, config.num_heads, config.qk_norm)
        if config.attends_to_text:
            self.text_attention = CrossAttention(D, config.num_heads, config.qk_norm)
            self.text_norm = nn.LayerNorm(D, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(D, hidden), nn.GELU("tanh"), nn.Linear(hidden, D))
        self.modulation = modulation_of(config)

    def forward(self, x_ND: Tensor, view: View, told: Told, layout: str) -> Tensor:
        if hasattr(self, "time_attention"):
            attended_ND = self.time_attention(self.time_norm(x_ND), view.angles_Nr, view.plans["temporal"])
            x_ND = x_ND + self.time_out(attended_ND)
        parts = self.modulation(told.condition_R)
        q, k, v = self.attention.projected(parts.before(x_ND, 0, view.row_N), view.angles_Nr)
        return self.rest(x_ND, view.plans[layout].attend(q, k, v), parts, view, told)

    def rest(self, x_ND: Tensor, attended_NHd: Tensor, parts: Modulated, view: View, told: Told) -> Tensor:
        """What comes after the tokens have attended."""
        x_ND = x_ND + parts.after(self.attention.joined(attended_NHd), 0, view.row_N)
        if view.text_plan is not None:
            x_ND = x_ND + self.text_attention(self.text_norm(x_ND), told.text_MD, view.text_plan)
        return x_ND + parts.after(self.mlp(parts.before(x_ND, 1, view.row_N)), 1, view.row_N)


class JointBlock(nn.Module):
    """A block over video and text with weights of its own for each; all attend to all of their document (MM-DiT, Esser
    et al. 2024)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.video, self.text = Block(config), Block(config)

    def forward(self, x_ND: Tensor, view: View, told: Told, layout: str) -> Tensor:
        sizes = [view.num_video, len(x_ND) - view.num_video]
        streams = [
            (block, x, replace_rows(view, row, angles))
            for block, x, row, angles in zip(
                (self.video, self.text),
                x_ND.split(sizes),
                view.row_N.split(sizes),
                (None, None) if view.angles_Nr is None else view.angles_Nr.split(sizes),
                strict=True,
            )
        ]
        parts = [block.modulation(told.condition_R) for block, _, _ in streams]
        projected = [
            block.attention.projected(part.before(x, 0, own.row_N), own.angles_Nr)
            for part, (block, x, own) in zip(parts, streams, strict=True)
        ]
        attended = view.plans[layout].attend(*(torch.cat(of_both) for of_both in zip(*projected, strict=True)))
        return torch.cat(
            [
                block.rest(x, out, part, own, told)
                for part, out, (block, x, own) in zip(parts, attended.split(sizes), streams, strict=True)
            ]
        )


def replace_rows(view: View, row_N: Tensor, angles_Nr: Tensor | None) -> View:
    """The view of some of the tokens, which attend by no plan of their own."""
    return View(row_N, angles_Nr, {}, view.text_plan, len(row_N))


@dataclass(frozen=True)
class Modulated:
    """Shift, scale and gate of the two halves of a block; None for what it does not have."""

    shifts: tuple[Tensor | None, Tensor | None]
    scales: tuple[Tensor | None, Tensor | None]
    gates: tuple[Tensor | None, Tensor | None]
    norms: nn.ModuleList | None = None
    """Affine norms in place of shifts and scales."""

    def before(self, x_ND: Tensor, half: int, row_N: Tensor) -> Tensor:
        """What a half reads."""
        shift, scale = self.shifts[half], self.scales[half]
        if shift is None or scale is None:
            assert self.norms is not None
            return self.norms[half](x_ND)
        return modulate(layer_norm(x_ND), shift, scale, row_N)

    def after(self, out_ND: Tensor, half: int, row_N: Tensor) -> Tensor:
        """What it adds."""
        gate_RD = self.gates[half]
        return out_ND if gate_RD is None else gate(out_ND, gate_RD, row_N)


class OwnModulation(nn.Linear):
    """Made by each block of the conditioning; starts as zero, so a gated block as the identity."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__(width, parts * width)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.parts = parts

    def forward(self, condition_RD: Tensor) -> Modulated:
        return modulated(super().forward(condition_RD), self.parts)


class SharedModulation(nn.Module):
    """What a block adds to the modulation that all blocks share."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(parts * width))
        self.parts = parts

    def forward(self, shared_RC: Tensor) -> Modulated:
        return modulated(shared_RC + self.bias, self.parts)


class NoModulation(nn.Module):
    """Affine norms in its place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(2))

    def forward(self, condition_RD: Tensor) -> Modulated:
        return Modulated((None, None), (None, None), (None, None), self.norms)


def modulated(values_RC: Tensor, parts: int) -> Modulated:
    """Shift, scale and gate of one half after those of the other; without gates for 4 parts."""
    if parts == 4:
        shift1, scale1, shift2, scale2 = values_RC.chunk(4, dim=1)
        return Modulated((shift1, shift2), (scale1, scale2), (None, None))
    shift1, scale1, gate1, shift2, scale2, gate2 = values_RC.chunk(6, dim=1)
    return Modulated((shift1, shift2), (scale1, scale2), (gate1, gate2))


def num_parts(config: TransformerConfig) -> int:
    """Vectors of the model's width that modulate a block."""
    return {"adaln_zero": 6, "adaln": 4}.get(config.conditioning, 0)


def modulation_of(config: TransformerConfig) -> nn.Module:
    if not config.is_modulated:
        return NoModulation(config.width)
    kind = OwnModulation if config.modulation == "block" else SharedModulation
    return kind(config.width, num_parts(config))


def layer_norm(x_ND: Tensor) -> Tensor:
    return F.layer_norm(x_ND, x_ND.shape[-1:], eps=1e-6)


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts as zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
