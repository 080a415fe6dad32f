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


class HeadNorm(nn.Module):
    """Root-mean-square norm over the channels of a head, in float32; keeps dtype."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(head_dim))

    def forward(self, x_NHd: Tensor) -> Tensor:
        return F.rms_norm(x_NHd.float(), self.weight.shape, self.weight, eps=1e-6).to(x_NHd.dtype)


class SelfAttention(nn.Module):
    """Multi-head attention with normalised queries and keys (Dehghani et al. 2023) and rotary positions."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        head_dim = width // num_heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.query_norm, self.key_norm = HeadNorm(head_dim), HeadNorm(head_dim)
        self.to_out = nn.Linear(width, width)

    def forward(self, x_ND: Tensor, angles_Nr: Tensor, plan: AttentionPlan) -> Tensor:
        q, k, v = self.to_qkv(x_ND).unflatten(-1, (3, self.num_heads, -1)).unbind(1)
        q, k = rotate(self.query_norm(q), angles_Nr), rotate(self.key_norm(k), angles_Nr)
        return self.to_out(plan.attend(q, k, v).flatten(1))


class CrossAttention(nn.Module):
    """Attention of video tokens over the text tokens of their own document; starts as zero."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        head_dim = width // num_heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(width, 2 * width)
        self.query_norm, self.key_norm = HeadNorm(head_dim), HeadNorm(head_dim)
        self.to_out = nn.Linear(width, width)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(self, x_ND: Tensor, text_MD: Tensor, plan: AttentionPlan) -> Tensor:
        q = self.to_q(x_ND).unflatten(-1, (self.num_heads, -1))
        k, v = self.to_kv(text_MD).unflatten(-1, (2, self.num_heads, -1)).unbind(1)
        return self.to_out(plan.attend(self.query_norm(q), self.key_norm(k), v).flatten(1))
