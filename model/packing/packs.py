"""Samples of any size in one token sequence (NaViT, Dehghani et al. 2023).

A pack holds whole documents one after another, without padding.

Shapes: N tokens, P values of a patch, C T H W a latent, B documents, M text tokens, E width of the text encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.packing.patches import Patch, grid_shape, patchify
from model.transformer.layouts import Bucket, cross_attention_buckets


@dataclass(frozen=True)
class Geometry:
    """Where the tokens of a pack are; the same for every step of a sampling run."""

    grids: tuple[tuple[int, int, int], ...]
    """Tokens of each document along time, height and width."""
    text_lengths: tuple[int, ...]
    """Text tokens of each document; 0 for none."""

    @cached_property
    def prepared(self) -> dict[Any, Any]:
        """What a network has worked out of this geometry, by names of its own: once for all that have it."""
        return {}

    @cached_property
    def lengths(self) -> list[int]:
        return [t * h * w for t, h, w in self.grids]

    @cached_property
    def coordinates_N4(self) -> np.ndarray:
        """(N, 4) int64: document, frame, row, column."""
        parts = [np.insert(np.indices(g).reshape(3, -1).T, 0, i, axis=1) for i, g in enumerate(self.grids)]
        return np.concatenate(parts)

    @cached_property
    def text_rows(self) -> np.ndarray:
        """Where the text tokens of the sequence are among the texts, one document after another: a document without
        text has the row after the last."""
        ends = np.cumsum(self.text_lengths)
        rows = [
            np.arange(end - length, end) if length else ends[-1:]
            for end, length in zip(ends, self.text_lengths, strict=True)
        ]
        return np.concatenate(rows)

    @cached_property
    def with_text(self) -> np.ndarray:
        """`coordinates_N4`, and behind them those of `text_rows`, which are nowhere in their documents."""
        documents = np.repeat(np.arange(len(self.grids)), np.maximum(self.text_lengths, 1))
        return np.concatenate(
            [self.coordinates_N4, np.insert(np.zeros((len(documents), 3), np.int64), 0, documents, axis=1)]
        )

    def text_buckets(self) -> list[Bucket]:
        """Every document's tokens over its own text, or over the row after the last text if it has none."""
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        text_starts = np.concatenate([[0], np.cumsum(self.text_lengths)])
        queries = [np.arange(a, b) for a, b in pairwise(starts)]
        keys = [np.arange(a, b) for a, b in pairwise(text_starts)]
        null = np.array([text_starts[-1]])
        return cross_attention_buckets(queries, [k if len(k) else null for k in keys])


@dataclass(frozen=True)
class Pack:
    """Tokens of several documents with all that the transformer reads beside them."""

    geometry: Geometry
    tokens_NP: Tensor
    seconds_N: Tensor
    """Time of each token's frame."""
    clean_N: Tensor
    """Bool: given as a condition, at timestep 0."""
    timestep_B: Tensor
    """Timestep of each document's other tokens."""
    text_ME: Tensor
    """Text embeddings, one document after another."""

    def to(self, device: torch.device | str) -> Pack:
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "geometry"}
        return replace(self, **tensors)


@dataclass(frozen=True)
class Document:
    """One sample as the transformer sees it: a latent with noise, of which some frames may be clean."""

    latent_CTHW: Tensor
    clean_T: Tensor
    """Bool for each latent frame."""
    timestep: float
    latent_fps: float
    text_LE: Tensor | None


def pack_documents(documents: Sequence[Document], patch: Patch, text_dim: int) -> Pack:
    """Put documents one after another, in the order given.

    Attention copies least where documents of equal shape are neighbours; `packing_order` brings them together.
    """
    grids = [grid_shape(d.latent_CTHW.shape, patch) for d in documents]
    tokens, seconds, clean = [], [], []
    for document, (T, H, W) in zip(documents, grids, strict=True):
        tokens.append(patchify(document.latent_CTHW, patch))
        frame = torch.arange(T).repeat_interleave(H * W)
        seconds.append(frame * (patch[0] / document.latent_fps))
        clean.append(document.clean_T.view(T, -1).all(dim=1)[frame])
    texts = [torch.zeros(0, text_dim) if d.text_LE is None else d.text_LE for d in documents]
    return Pack(
        geometry=Geometry(tuple(grids), tuple(len(t) for t in texts)),
        tokens_NP=torch.cat(tokens),
        seconds_N=torch.cat(seconds).float(),
        clean_N=torch.cat(clean),
        timestep_B=torch.tensor([d.timestep for d in documents], dtype=torch.float32),
        text_ME=torch.cat(texts),
    )


def packing_order(latent_shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Indices that bring latents of equal shape together, stably."""
    return sorted(range(len(latent_shapes)), key=lambda i: latent_shapes[i])
