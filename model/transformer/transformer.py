"""The diffusion transformer on packed latents of any size: DiT blocks that read the text.

Blocks follow DiT's adaLN-Zero (Peebles & Xie 2023). They read the text by cross-attention between self-attention and
MLP, as in PixArt-alpha (Chen et al. 2024), or its tokens stand in the sequence beside those of the video and are
attended to like them (in-context conditioning, DiT). Every block starts as the identity and the output as zero.

Shapes: V video tokens, N tokens of the sequence (V, and text tokens behind them where they stand in it), P values of a
patch, D model width, B documents, R = 2B rows of conditioning (clean and noisy frames of each document), M text tokens,
E width of the text encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.packing.packs import Geometry, Pack
from model.packing.patches import Patch
from model.transformer.attention import AttentionPlan, CrossAttention, SelfAttention
from model.transformer.conditioning import TextConditioning, TimestepEmbedding, modulate
from model.transformer.layouts import LAYOUTS, self_attention_buckets
from model.transformer.positions import axis_dims, rotary_angles


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the transformer.

    Raises:
        ValueError: `num_heads` does not divide `width`, or leaves heads too small for three axes of position; or
            settings that are unknown or do not go together.
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
    modulation: str = "block"
    """`block`: each block makes its shifts, scales and gates of the conditioning. `shared`: they are made once for all
    blocks, each of which adds a vector of its own (adaLN-single, PixArt-alpha)."""
    text: str = "cross"
    """`cross`: cross-attention; `in_context`: in the sequence."""
    answer_factor: int = 1
    """Values that are answered for each of a patch."""

    def __post_init__(self) -> None:
        for name, known in (("modulation", ("block", "shared")), ("text", ("cross", "in_context"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} = {getattr(self, name)!r}: none of {', '.join(known)}")
        if self.text == "in_context" and set(self.layouts) != {"joint"}:
            raise ValueError(
                "text = 'in_context' needs the layout 'joint' in all blocks: text is in no frame or window"
            )
        if self.width % self.num_heads:
            raise ValueError(f"num_heads = {self.num_heads} does not divide width = {self.width}")
        axis_dims(self.width // self.num_heads)

    @property
    def patch_values(self) -> int:
        return self.latent_channels * self.patch[0] * self.patch[1] * self.patch[2]


class Block(nn.Module):
    """Self-attention, text cross-attention unless the text is in the sequence, MLP; the first and the last scaled and
    gated by the conditioning."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        D, hidden = config.width, int(config.width * config.mlp_ratio)
        self.attention = SelfAttention(D, config.num_heads)
        if config.text == "cross":
            self.text_attention = CrossAttention(D, config.num_heads)
            self.text_norm = nn.LayerNorm(D, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(D, hidden), nn.GELU("tanh"), nn.Linear(hidden, D))
        self.modulation = zero_linear(D, 6 * D) if config.modulation == "block" else SharedModulation(6 * D)

    def forward(self, x_ND: Tensor, state: PackState, layout: str) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(state.condition_R).chunk(6, dim=1)
        row_N = state.row_N
        h_ND = modulate(layer_norm(x_ND), shift1[row_N], scale1[row_N])
        x_ND = x_ND + gate1[row_N] * self.attention(h_ND, state.angles_Nr, state.plans[layout])
        if state.text_plan is not None:
            x_ND = x_ND + self.text_attention(self.text_norm(x_ND), state.text_MD, state.text_plan)
        return x_ND + gate2[row_N] * self.mlp(modulate(layer_norm(x_ND), shift2[row_N], scale2[row_N]))


class SharedModulation(nn.Module):
    """What a block adds to the modulation that all blocks share."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, shared_RC: Tensor) -> Tensor:
        return shared_RC + self.bias


@dataclass(frozen=True)
class PackState:
    """What all blocks share: the conditioning, positions, attention plans, and the embedded text."""

    condition_R: Tensor
    """(R, D), or (R, 6D) of shared modulation."""
    row_N: Tensor
    """The row of each token."""
    angles_Nr: Tensor
    plans: dict[str, AttentionPlan]
    text_MD: Tensor
    text_plan: AttentionPlan | None
    """None if the text is in the sequence."""


@dataclass(frozen=True)
class Prepared:
    """What the transformer works out of a geometry, on a device."""

    where_N4: Tensor
    """Coordinates of the sequence's tokens."""
    plans: dict[str, AttentionPlan]
    """By layout."""
    text_plan: AttentionPlan | None
    """None if the text is in the sequence."""
    text_rows: Tensor | None
    """The rows of the texts that are in the sequence, or None."""


class Transformer(nn.Module):
    """Answers every video token of a pack with as many values as it has: what they are is the objective's choice."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        D = config.width
        self.embed = nn.Linear(config.patch_values, D)
        self.timestep = TimestepEmbedding(D)
        self.text = TextConditioning(config.text_dim, D)
        self.modulation = zero_linear(D, 6 * D) if config.modulation == "shared" else nn.Identity()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_modulation = zero_linear(D, 2 * D)
        self.final = zero_linear(D, config.answer_factor * config.patch_values)

    def forward(self, pack: Pack) -> Tensor:
        """The answer to each token's patch, (V, P), or P times `answer_factor`; what it says of clean tokens is
        meaningless."""
        geometry = pack.geometry
        text_MD, pooled_BD = self.text(pack.text_ME, geometry.text_lengths)
        condition_RD = self._condition(pack, pooled_BD)
        prepared = self.prepare(geometry, pack.tokens_NP.device)
        state = self._state(pack, prepared, text_MD, condition_RD)
        x_ND = self.embed(pack.tokens_NP)
        num_video = len(x_ND)
        if prepared.text_rows is not None:
            x_ND = torch.cat([x_ND, text_MD.index_select(0, prepared.text_rows)])
        for i, block in enumerate(self.blocks):
            x_ND = block(x_ND, state, self.config.layouts[i % len(self.config.layouts)])
        shift, scale = self.final_modulation(condition_RD).chunk(2, dim=1)
        row_V = state.row_N[:num_video]
        return self.final(modulate(layer_norm(x_ND[:num_video]), shift[row_V], scale[row_V]))

    def _condition(self, pack: Pack, pooled_BD: Tensor) -> Tensor:
        """Rows 2b and 2b + 1 are the clean and the noisy frames of document b, (R, D)."""
        levels_R = torch.stack([torch.zeros_like(pack.timestep_B), pack.timestep_B], dim=1).flatten()
        return F.silu(self.timestep(levels_R) + pooled_BD.repeat_interleave(2, dim=0))

    def prepare(self, geometry: Geometry, device: torch.device) -> Prepared:
        """What depends on nothing but a pack's geometry: worked out once, then found there, by any transformer of the
        same layouts. A loader calls it ahead of the network."""
        key = self.config.layouts, self.config.text, device
        if key not in geometry.prepared:
            geometry.prepared[key] = self._prepared(geometry, device)
        return geometry.prepared[key]

    def _prepared(self, geometry: Geometry, device: torch.device) -> Prepared:
        in_context = self.config.text == "in_context"
        coordinates_N4 = geometry.with_text if in_context else geometry.coordinates_N4
        return Prepared(
            where_N4=_indices(coordinates_N4, device),
            plans={
                name: AttentionPlan(self_attention_buckets(LAYOUTS[name](coordinates_N4)), device)
                for name in set(self.config.layouts)
            },
            text_plan=None if in_context else AttentionPlan(geometry.text_buckets(), device),
            text_rows=_indices(geometry.text_rows, device) if in_context else None,
        )

    def _state(self, pack: Pack, prepared: Prepared, text_MD: Tensor, condition_RD: Tensor) -> PackState:
        where_N4 = prepared.where_N4
        num_text = len(where_N4) - len(pack.tokens_NP)
        seconds_N = F.pad(pack.seconds_N, (0, num_text))
        is_noisy_N = F.pad(~pack.clean_N, (0, num_text), value=True)
        return PackState(
            condition_R=self.modulation(condition_RD),
            row_N=2 * where_N4[:, 0] + is_noisy_N.long(),
            angles_Nr=rotary_angles(seconds_N, where_N4[:, 1:], self.config.width // self.config.num_heads),
            plans=prepared.plans,
            text_MD=text_MD,
            text_plan=prepared.text_plan,
        )


def _indices(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


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
    block = attention + mlp(D, int(D * config.mlp_ratio), D)
    block += attention + 2 * D if config.text == "cross" else 0
    block += linear(D, 6 * D) if config.modulation == "block" else 6 * D
    text = config.text_dim + linear(config.text_dim, D) + D + linear(D, D)
    ends = linear(config.patch_values, D) + linear(D, 2 * D) + linear(D, config.answer_factor * config.patch_values)
    shared = linear(D, 6 * D) if config.modulation == "shared" else 0
    return config.depth * block + text + ends + shared + mlp(256, D, D)
