"""Attention within groups of packed tokens, for self- and for text cross-attention.

Shapes: N tokens, M text tokens, D model width, H heads, d channels of a head, G groups, L and K tokens of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.transformer.layouts import Bucket
from model.transformer.positions import rotate


@dataclass(frozen=True)
class IndexedRows:
    """Rows of a token tensor as (G, L) indices; `start` is set if they are consecutive, and then nothing is copied."""

    index: Tensor
    shape: tuple[int, int]
    start: int | None

    @classmethod
    def of(cls, index_GL: np.ndarray, device: torch.device) -> IndexedRows:
        flat = index_GL.reshape(-1)
        consecutive = bool((np.diff(flat) == 1).all())
        start = int(flat[0]) if consecutive else None
        return cls(torch.from_numpy(np.ascontiguousarray(flat)).to(device), index_GL.shape, start)

    def take(self, x_NHd: Tensor) -> Tensor:
        """(N, H, d) to (G, H, L, d)."""
        if self.start is not None:
            rows = x_NHd[self.start : self.start + len(self.index)]
        else:
            rows = x_NHd.index_select(0, self.index)
        return rows.unflatten(0, self.shape).transpose(1, 2)


class AttentionPlan:
    """Buckets of one pack as tensors on a device, ready for every layer that uses the layout."""

    def __init__(self, buckets: Sequence[Bucket], device: torch.device) -> None:
        self.parts = [(IndexedRows.of(b.queries_GL, device), IndexedRows.of(b.keys_GK, device)) for b in buckets]
        order = np.concatenate([b.queries_GL.reshape(-1) for b in buckets])
        if not np.array_equal(np.sort(order), np.arange(len(order))):
            raise ValueError("every token must be a query in exactly one group")
        in_order = bool((np.diff(order) == 1).all())
        self.restore = None if in_order else torch.from_numpy(np.argsort(order)).to(device)

    def attend(self, q_NHd: Tensor, k_MHd: Tensor, v_MHd: Tensor) -> Tensor:
        """Softmax attention of every query over the keys of its group, (N, H, d)."""
        outputs = []
        for queries, keys in self.parts:
            out = F.scaled_dot_product_attention(queries.take(q_NHd), keys.take(k_MHd), keys.take(v_MHd))
            outputs.append(out.transpose(1, 2).flatten(0, 1))
        out_NHd = torch.cat(outputs)
        return out_NHd if self.restore is None else out_NHd.index_select(0, self.restore)


@dataclass(frozen=True)
class HeadPlans:
    """Plans of equal shares of the heads, in order."""

    plans: tuple[AttentionPlan, ...]

    def attend(self, q_NHd: Tensor, k_NHd: Tensor, v_NHd: Tensor) -> Tensor:
        """Each share of the heads by its own plan, (N, H, d)."""
        shares = zip(*(x.chunk(len(self.plans), dim=1) for x in (q_NHd, k_NHd, v_NHd)), strict=True)
        return torch.cat([plan.attend(*share) for plan, share in zip(self.plans, shares, strict=True)], dim=1)


Plan = AttentionPlan | HeadPlans


class Heads(nn.Module):
    """Channels divided into heads, with a root-mean-square norm in float32 over those of each head, over all together
    (`width`), or none; keeps dtype."""

    def __init__(self, width: int, num_heads: int, norm: str) -> None:
        super().__init__()
        self.num_heads, self.norm = num_heads, norm
        if norm != "none":
            self.weight = nn.Parameter(torch.ones(width if norm == "width" else width // num_heads))

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) to (N, H, d)."""
        if self.norm == "width":
            x_ND = self._normed(x_ND)
        x_NHd = x_ND.unflatten(-1, (self.num_heads, -1))
        return self._normed(x_NHd) if self.norm == "head" else x_NHd

    def _normed(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight, eps=1e-6).to(x.dtype)


class SelfAttention(nn.Module):
    """Multi-head attention with rotary positions."""

    def __init__(self, width: int, num_heads: int, qk_norm: str = "head") -> None:
        super().__init__()
        self.to_qkv = nn.Linear(width, 3 * width)
        self.query_norm, self.key_norm = Heads(width, num_heads, qk_norm), Heads(width, num_heads, qk_norm)
        self.to_out = nn.Linear(width, width)

    def forward(self, x_ND: Tensor, angles_Nr: Tensor | None, plan: Plan) -> Tensor:
        return self.joined(plan.attend(*self.projected(x_ND, angles_Nr)))

    def projected(self, x_ND: Tensor, angles_Nr: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (N, H, d)."""
        q_ND, k_ND, v_ND = self.to_qkv(x_ND).chunk(3, dim=-1)
        q_NHd, k_NHd = self.query_norm(q_ND), self.key_norm(k_ND)
        return rotate(q_NHd, angles_Nr), rotate(k_NHd, angles_Nr), v_ND.unflatten(-1, q_NHd.shape[1:])

    def joined(self, attended_NHd: Tensor) -> Tensor:
        return self.to_out(attended_NHd.flatten(1))


class CrossAttention(nn.Module):
    """Attention of video tokens over the text tokens of their own document; starts as zero."""

    def __init__(self, width: int, num_heads: int, qk_norm: str = "head") -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.query_norm, self.key_norm = Heads(width, num_heads, qk_norm), Heads(width, num_heads, qk_norm)
        self.to_out = nn.Linear(width, width)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(self, x_ND: Tensor, text_MD: Tensor, plan: AttentionPlan) -> Tensor:
        k_MD, v_MD = self.to_kv(text_MD).chunk(2, dim=-1)
        q_NHd, k_MHd = self.query_norm(self.to_q(x_ND)), self.key_norm(k_MD)
        return self.to_out(plan.attend(q_NHd, k_MHd, v_MD.unflatten(-1, k_MHd.shape[1:])).flatten(1))
