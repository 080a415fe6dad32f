"""The diffusion transformer on packed latents of any size: DiT blocks with text cross-attention.

Blocks follow DiT's adaLN-Zero (Peebles & Xie 2023), with cross-attention between self-attention and MLP as in
PixArt-alpha (Chen et al. 2024). Every block starts as the identity and the output as zero.

Shapes: N tokens, P values of a patch, D model width, B documents, R = 2B rows of conditioning (clean and noisy frames
of each document), M text tokens, E width of the text encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.packing.packs import Pack
from model.packing.patches import Patch
from model.transformer.attention import AttentionPlan, CrossAttention, SelfAttention
from model.transformer.conditioning import TextConditioning, TimestepEmbedding, modulate
from model.transformer.positions import axis_dims, rotary_angles


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the transformer.

    Raises:
        ValueError: `num_heads` does not divide `width`, or leaves heads too small for three axes of position.
    """

    width: int = 192
    depth: int = 6
    num_heads: int = 6
    patch: Patch = (1, 2, 2)
    mlp_ratio: float = 4.0
    latent_channels: int = 8
    text_dim: int = 64
    layouts: tuple[str, ...] = ("joint",)
    """Attention layouts of the blocks, repeated over the depth."""

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(f"num_heads = {self.num_heads} does not divide width = {self.width}")
        axis_dims(self.width // self.num_heads)

    @property
    def patch_values(self) -> int:
        return self.latent_channels * self.patch[0] * self.patch[1] * self.patch[2]


class Block(nn.Module):
    """Self-attention, text cross-attention, MLP; the first and the last scaled and gated by the conditioning."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        D, hidden = config.width, int(config.width * config.mlp_ratio)
        self.attention = SelfAttention(D, config.num_heads)
        self.text_attention = CrossAttention(D, config.num_heads)
        self.text_norm = nn.LayerNorm(D, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(D, hidden), nn.GELU("tanh"), nn.Linear(hidden, D))
        self.modulation = zero_linear(D, 6 * D)

    def forward(self, x_ND: Tensor, condition_RD: Tensor, row_N: Tensor, state: PackState, layout: str) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition_RD)[row_N].chunk(6, dim=1)
        h_ND = modulate(layer_norm(x_ND), shift1, scale1)
        x_ND = x_ND + gate1 * self.attention(h_ND, state.angles_Nr, state.plans[layout])
        x_ND = x_ND + self.text_attention(self.text_norm(x_ND), state.text_MD, state.text_plan)
        return x_ND + gate2 * self.mlp(modulate(layer_norm(x_ND), shift2, scale2))


@dataclass(frozen=True)
class PackState:
    """What all blocks share: positions, attention plans, and the embedded text."""

    angles_Nr: Tensor
    plans: dict[str, AttentionPlan]
    text_plan: AttentionPlan
    text_MD: Tensor


class Transformer(nn.Module):
    """Predicts the velocity of every token of a pack."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        D = config.width
        self.embed = nn.Linear(config.patch_values, D)
        self.timestep = TimestepEmbedding(D)
        self.text = TextConditioning(config.text_dim, D)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_modulation = zero_linear(D, 2 * D)
        self.final = zero_linear(D, config.patch_values)

    def forward(self, pack: Pack) -> Tensor:
        """Velocity of each token's patch, (N, P); what it says of clean tokens is meaningless."""
        text_MD, pooled_BD = self.text(pack.text_ME, pack.geometry.text_lengths)
        state = self._state(pack, text_MD)
        condition_RD, row_N = self._condition(pack, pooled_BD)
        x_ND = self.embed(pack.tokens_NP)
        for i, block in enumerate(self.blocks):
            x_ND = block(x_ND, condition_RD, row_N, state, self.config.layouts[i % len(self.config.layouts)])
        shift, scale = self.final_modulation(condition_RD)[row_N].chunk(2, dim=1)
        return self.final(modulate(layer_norm(x_ND), shift, scale))

    def _condition(self, pack: Pack, pooled_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Rows 2b and 2b + 1 are the clean and the noisy frames of document b; and the row of each token."""
        levels_R = torch.stack([torch.zeros_like(pack.timestep_B), pack.timestep_B], dim=1).flatten()
        condition_RD = F.silu(self.timestep(levels_R) + pooled_BD.repeat_interleave(2, dim=0))
        document_N = torch.from_numpy(pack.geometry.coordinates_N4[:, 0].copy()).to(pack.clean_N.device)
        return condition_RD, 2 * document_N + (~pack.clean_N).long()

    def _state(self, pack: Pack, text_MD: Tensor) -> PackState:
        device = pack.tokens_NP.device
        geometry = pack.geometry
        grid_N3 = torch.from_numpy(np.ascontiguousarray(geometry.coordinates_N4[:, 1:])).to(device)
        return PackState(
            angles_Nr=rotary_angles(pack.seconds_N, grid_N3, self.config.width // self.config.num_heads),
            plans={name: AttentionPlan(geometry.self_buckets(name), device) for name in set(self.config.layouts)},
            text_plan=AttentionPlan(geometry.text_buckets(), device),
            text_MD=text_MD,
        )


def layer_norm(x_ND: Tensor) -> Tensor:
    return F.layer_norm(x_ND, x_ND.shape[-1:], eps=1e-6)


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts as zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def count_parameters(config: TransformerConfig) -> int:
    """The number of parameters by formula, without building the model."""

    def linear(inputs: int, outputs: int) -> int:
        return inputs * outputs + outputs

    def mlp(*widths: int) -> int:
        return sum(linear(a, b) for a, b in pairwise(widths))

    D, head_dim = config.width, config.width // config.num_heads
    attention = 4 * linear(D, D) + 2 * head_dim
    block = 2 * attention + 2 * D + mlp(D, int(D * config.mlp_ratio), D) + linear(D, 6 * D)
    text = config.text_dim + linear(config.text_dim, D) + D + linear(D, D)
    ends = linear(config.patch_values, D) + linear(D, 2 * D) + linear(D, config.patch_values)
    return config.depth * block + text + ends + mlp(256, D, D)
