"""A U-Net on packed latents, with the transformer's interface: a baseline of convolutions (Ho et al. 2020; Ho et al.
2022, Video Diffusion Models).

A U-Net needs grids, so a pack is taken apart again: documents of equal shape go through it together, and no convolution
or norm reaches from one to another. Each level halves rows and columns and keeps all frames; texts are read at the
smallest level, and their mean is part of the conditioning at every level.

Shapes: V video tokens of a pack, P values of a patch, B documents, b those of one shape, C channels, T H W places,
D width of the conditioning, M text tokens of a pack, L those of a text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.packing.packs import Pack
from model.packing.patches import Patch
from model.packing.tokens import Kind, TokenTable
from model.transformer.conditioning import TimestepEmbedding
from model.unet.blocks import NORM_GROUPS, Growing, ResidualBlock, Shrinking, TextAttention, TextEmbedding, norm

BESIDE_VALUES = 2
"""Channels beside those of the patch: whether it is given clean, and the time of its frame."""


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of the U-Net.

    Raises:
        ValueError: no level, or channels that do not divide into groups and heads.
    """

    channels: tuple[int, ...] = (64, 128, 256)
    """Of each level, from the full size down."""
    num_heads: int = 4
    patch: Patch = (1, 2, 2)
    latent_channels: int = 8
    text_dim: int = 64
    answer_factor: int = 1
    """Values that are answered for each of a patch."""

    def __post_init__(self) -> None:
        if not self.channels or any(count < 1 or count % NORM_GROUPS for count in self.channels):
            raise ValueError(f"channels = {self.channels}: give each level a multiple of {NORM_GROUPS}")
        if self.channels[-1] % self.num_heads:
            raise ValueError(f"num_heads = {self.num_heads} does not divide the {self.channels[-1]} last channels")

    @property
    def patch_values(self) -> int:
        return self.latent_channels * self.patch[0] * self.patch[1] * self.patch[2]


@dataclass(frozen=True)
class ShapeGroup:
    """The documents of one shape in a pack."""

    grid: tuple[int, int, int]
    documents: tuple[int, ...]
    rows: Tensor
    """(b T H W) their tokens in the pack, one document after another."""


class UNet(nn.Module):
    """Answers every video token of a pack with as many values as it has: what they are is the objective's choice."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        D = config.channels[-1]
        self.timestep = TimestepEmbedding(D)
        self.text = TextEmbedding(config.text_dim, D)
        self.pool = nn.Linear(D, D)
        self.embed = nn.Conv3d(config.patch_values + BESIDE_VALUES, config.channels[0], 1)
        steps = list(pairwise(config.channels))
        self.down = nn.ModuleList(ResidualBlock(count, count, D) for count in config.channels[:-1])
        self.shrink = nn.ModuleList(Shrinking(fine, coarse) for fine, coarse in steps)
        self.before_text, self.after_text = ResidualBlock(D, D, D), ResidualBlock(D, D, D)
        self.text_attention = TextAttention(D, D, config.num_heads)
        self.grow = nn.ModuleList(Growing(coarse, fine) for fine, coarse in steps)
        self.up = nn.ModuleList(ResidualBlock(2 * fine, fine, D) for fine, _ in steps)
        self.final_norm = norm(config.channels[0])
        self.final = nn.Conv3d(config.channels[0], config.answer_factor * config.patch_values, 1)
        for parameter in self.final.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pack: Pack) -> Tensor:
        """The answer to each token's patch, (V, P), or P times `answer_factor`; what it says of clean tokens is
        meaningless."""
        texts = self.text(pack.text_ME, pack.table.text_lengths)
        pooled_BD = self.pool(torch.stack([text_LD.mean(dim=0) for text_LD in texts]))
        condition_BD = F.silu(self.timestep(pack.timestep_B) + pooled_BD)
        seconds_N = torch.from_numpy(pack.table.seconds_N).to(pack.tokens_NP)
        beside = torch.stack([pack.clean_N.to(pack.tokens_NP), seconds_N.log1p()], dim=1)
        values_NC = torch.cat([pack.tokens_NP, beside], dim=1)
        groups = self.prepare(pack.table, values_NC.device)
        answers = []
        for group in groups:
            T, H, W = group.grid
            x_bCTHW = values_NC[group.rows].view(-1, T, H, W, values_NC.shape[1]).permute(0, 4, 1, 2, 3)
            condition_bD = condition_BD[list(group.documents)]
            answer = self._of_grids(x_bCTHW, condition_bD, [texts[i] for i in group.documents])
            answers.append(answer.permute(0, 2, 3, 4, 1).flatten(0, 3))
        return torch.cat(answers)[torch.cat([group.rows for group in groups]).argsort()]

    def prepare(self, table: TokenTable, device: torch.device) -> list[ShapeGroup]:
        """What depends on nothing but a pack's table: worked out once, then found there.

        Raises:
            ValueError: the tokens of a document are no grid.
        """
        key = "shape groups", device
        if key not in table.prepared:
            table.prepared[key] = _shape_groups(table, device)
        return table.prepared[key]

    def _of_grids(self, x_bCTHW: Tensor, condition_bD: Tensor, texts_LD: Sequence[Tensor]) -> Tensor:
        x = self.embed(x_bCTHW)
        passed = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            x = block(x, condition_bD)
            passed.append(x)
            x = shrink(x)
        x = self.before_text(x, condition_bD)
        x = self.after_text(self.text_attention(x, texts_LD), condition_bD)
        for block, grow, skip in reversed(list(zip(self.up, self.grow, passed, strict=True))):
            x = block(torch.cat([grow(x, skip.shape[2:]), skip], dim=1), condition_bD)
        return self.final(F.silu(self.final_norm(x)))


def _shape_groups(table: TokenTable, device: torch.device) -> list[ShapeGroup]:
    if (table.kind_N != Kind.CLIP).any() or table.lengths != [t * h * w for t, h, w in table.extents]:
        raise ValueError("a U-Net needs whole grids: no frame on its own, and no token left out")
    by_grid: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for document, grid in enumerate(table.extents):
        by_grid[grid].append(document)
    rows = torch.arange(sum(table.lengths), device=device).split(table.lengths)
    return [
        ShapeGroup(grid, tuple(documents), torch.cat([rows[i] for i in documents]))
        for grid, documents in by_grid.items()
    ]
