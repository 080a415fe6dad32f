"""The diffusion transformer on packed latents of any size.

By default blocks follow DiT's adaLN-Zero (Peebles & Xie 2023) with rotary positions, and read the text by
cross-attention between self-attention and MLP, as in PixArt-alpha (Chen et al. 2024): every block starts as the
identity and the output as zero. `config.py` says what else there is.

Shapes: V tokens of the pack, N of the sequence (V, and behind them registers, the noise level and text where those
stand in it), P values of a patch, D model width, B documents, R = 2B rows of conditioning (clean and noisy tokens of
each document), M text tokens, F frames of all documents.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.packing.packs import Pack
from model.packing.tokens import TokenTable
from model.transformer.blocks import (
    Block,
    JointBlock,
    Told,
    layer_norm,
    num_parts,
    zero_linear,
)
from model.transformer.conditioning import FactsEmbedding, TextConditioning, TimestepEmbedding
from model.transformer.config import TransformerConfig
from model.transformer.layouts import FRAMES
from model.transformer.plans import Prepared, Views, prepared_for
from model.transformer.refiner import TextRefiner
from model.transformer.routing import Route
from model.transformer.rows import modulate


class Transformer(nn.Module):
    """Answers every token of a pack with as many values as it has, or `answer_factor` times as many: what they are is
    the objective's choice."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        D = config.width
        self.embed = nn.Linear(config.patch_values, D)
        self.timestep = TimestepEmbedding(D, config.timesteps)
        self.facts = FactsEmbedding(config)
        if config.text != "none":
            self.text = TextConditioning(config)
        if config.text_refiner:
            self.refiner = TextRefiner(config)
        self.modulation = zero_linear(D, num_parts(config) * D) if config.modulation == "shared" else nn.Identity()
        kind = JointBlock if config.text == "joint" else Block
        self.blocks = nn.ModuleList(kind(config) for _ in range(config.depth))
        if config.long_skips:
            self.skips = nn.ModuleList(nn.Linear(2 * D, D) for _ in range(config.depth // 2))
        if config.registers:
            self.registers = _tokens(config.registers, D)
        if config.lone_frames:
            self.frame_mark = _tokens(1, D)
        if not config.is_modulated:
            self.clean_mark = _tokens(1, D)
        if config.final == "linear":
            self.final_modulation = zero_linear(D, 2 * D)
        else:
            self.final_table = nn.Parameter(torch.zeros(2, D))
        self.final = zero_linear(D, config.answer_factor * config.patch_values)

    def forward(self, pack: Pack, route: Route | None = None) -> Tensor:
        """The answer to each token's patch, (V, answer_factor * P); what it says of clean tokens is meaningless.

        Args:
            route: in training, of the tokens that the pack's table calls routed.
        Raises:
            ValueError: the pack has frames on their own, and the transformer knows none.
        """
        prepared = self.prepare(pack.table, pack.tokens_NP.device, route)
        text_MD, pooled_BD = self._texts(pack, prepared)
        condition_RD = self._conditions(pack, pooled_BD)
        told = self._told(condition_RD, text_MD)
        x_ND = self._sequence(pack, prepared, condition_RD, text_MD)
        x_ND = self._through_blocks(x_ND, prepared, told)
        num_tokens = len(pack.tokens_NP)
        shift, scale = self._final(condition_RD)
        row_V = prepared.every.tokens.row_N[:num_tokens]
        return self.final(modulate(layer_norm(x_ND[:num_tokens]), shift, scale, row_V))

    def prepare(self, table: TokenTable, device: torch.device, route: Route | None = None) -> Prepared:
        """What depends on nothing but a pack's table: worked out once, then found there, by any transformer of the same
        config. A loader calls it ahead of the network."""
        key = self.config, device, route
        if key not in table.prepared:
            table.prepared[key] = prepared_for(self.config, table, device, route)
        return table.prepared[key]

    def _texts(self, pack: Pack, prepared: Prepared) -> tuple[Tensor | None, Tensor | float]:
        """Text tokens with the one for no text, (M + 1, D), and one vector a document."""
        if self.config.text == "none":
            return None, 0.0
        tokens_MD = self.text(pack.text_ME)
        if self.config.text_refiner:
            tokens_MD = self.refiner(tokens_MD, prepared.refiner_plan)
        return tokens_MD, self.text.pooled(tokens_MD, pack.table.text_lengths)

    def _conditions(self, pack: Pack, pooled_BD: Tensor | float) -> Tensor:
        """Rows 2b and 2b + 1 are of the clean and the noisy tokens of document b, (R, D)."""
        levels_R = torch.stack([torch.zeros_like(pack.timestep_B), pack.timestep_B], dim=1).flatten()
        of_document = pooled_BD + self.facts(pack.conditions_BK)
        if isinstance(of_document, Tensor):
            of_document = of_document.repeat_interleave(2, dim=0)
        return self.timestep(levels_R) + of_document

    def _told(self, condition_RD: Tensor, text_MD: Tensor | None) -> Told:
        read = [] if text_MD is None else [text_MD]
        if self.config.conditioning == "cross":
            read.append(condition_RD[1::2])
        nothing = condition_RD[:0]
        return Told(self.modulation(F.silu(condition_RD)), torch.cat(read) if read else nothing)

    def _sequence(self, pack: Pack, prepared: Prepared, condition_RD: Tensor, text_MD: Tensor | None) -> Tensor:
        config = self.config
        x_VD = self.embed(pack.tokens_NP)
        if prepared.added_VD is not None:
            x_VD = x_VD + prepared.added_VD.to(x_VD.dtype)
        if config.lone_frames:
            x_VD = x_VD + self.frame_mark * prepared.is_frame_V1
        if not config.is_modulated:
            x_VD = x_VD + self.clean_mark * prepared.is_clean_V1
        parts = [x_VD]
        if config.registers:
            parts.append(self.registers.repeat(pack.table.num_documents, 1))
        if config.conditioning == "in_context":
            parts.append(condition_RD[1::2])
        if prepared.text_rows is not None and text_MD is not None:
            parts.append(text_MD.index_select(0, prepared.text_rows))
        return torch.cat([part.to(x_VD.dtype) for part in parts])

    def _through_blocks(self, x_ND: Tensor, prepared: Prepared, told: Told) -> Tensor:
        depth, through = self.config.depth, prepared.through
        passed: list[Tensor] = []
        views, before_ND = prepared.every, x_ND
        for i, block in enumerate(self.blocks):
            if through is not None and i == through.route.first_block:
                before_ND, x_ND, views = x_ND, through.leave(x_ND), through.views
            if self.config.long_skips and i >= depth - depth // 2:
                x_ND = self.skips[i - (depth - depth // 2)](torch.cat([x_ND, passed.pop()], dim=1))
            layout = self.config.layout(i)
            if layout == FRAMES:
                x_ND = x_ND + self._of_frames(x_ND, block, views, told)
            else:
                x_ND = block(x_ND, views.tokens, told, layout)
            if self.config.long_skips and i < depth // 2:
                passed.append(x_ND)
            if through is not None and i == through.route.last_block:
                x_ND, views = through.join(x_ND, before_ND), prepared.every
        return x_ND

    def _of_frames(self, x_ND: Tensor, block: nn.Module, views: Views, told: Told) -> Tensor:
        """What a block adds to the means of frames, for each token."""
        view, frame_N = views.frames, views.frame_N
        assert view is not None
        assert frame_N is not None
        sums_FD = torch.zeros(len(view.row_N), x_ND.shape[1], dtype=x_ND.dtype, device=x_ND.device)
        means_FD = sums_FD.index_put((frame_N,), x_ND, accumulate=True) / frame_N.bincount()[:, None]
        return (block(means_FD, view, told, "joint") - means_FD)[frame_N]

    def _final(self, condition_RD: Tensor) -> tuple[Tensor, ...]:
        if self.config.final == "linear":
            return self.final_modulation(F.silu(condition_RD)).chunk(2, dim=1)
        return tuple(condition_RD + row for row in self.final_table)


def _tokens(number: int, width: int) -> nn.Parameter:
    """Learned vectors that start small."""
    return nn.Parameter(torch.randn(number, width) * 0.02)


def count_parameters(config: TransformerConfig) -> int:
    """The number of parameters, without making them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Transformer(config).parameters())
