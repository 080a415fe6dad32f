"""Packing of samples of any size into one token sequence (NaViT, Dehghani et al. 2023), and the planning of packs.

A pack holds whole documents one after another, without padding. Which samples go together is planned ahead for an
epoch, as a pure function of the token counts and a key, so any worker can work it out and a resumed run continues it.

Shapes: N tokens, P values of a patch, C T H W a latent, B documents.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from model.transformer.layouts import LAYOUTS, Bucket, cross_attention_buckets, self_attention_buckets

PLAN_BUFFER = 2048
"""Samples over which packs are filled; larger buffers fill little better."""

Patch = tuple[int, int, int]


def grid_shape(latent_shape: Sequence[int], patch: Patch) -> tuple[int, int, int]:
    """Tokens along time, height and width of a (C, T, H, W) latent.

    Raises:
        ValueError: a side is not a multiple of the patch.
    """
    _, *sides = latent_shape
    if any(side % p or side < p for side, p in zip(sides, patch, strict=True)):
        raise ValueError(f"latent of {tuple(sides)} frames, rows and columns does not divide into patches of {patch}")
    T, H, W = (side // p for side, p in zip(sides, patch, strict=True))
    return T, H, W


def num_tokens(latent_shape: Sequence[int], patch: Patch) -> int:
    T, H, W = grid_shape(latent_shape, patch)
    return T * H * W


def patchify(latent_CTHW: Tensor, patch: Patch) -> Tensor:
    """A latent as tokens in order of time, row, column: (N, P)."""
    T, H, W = grid_shape(latent_CTHW.shape, patch)
    pt, ph, pw = patch
    blocks = latent_CTHW.reshape(-1, T, pt, H, ph, W, pw)
    return blocks.permute(1, 3, 5, 0, 2, 4, 6).reshape(T * H * W, -1)


def unpatchify(tokens_NP: Tensor, latent_shape: Sequence[int], patch: Patch) -> Tensor:
    """The inverse of `patchify`."""
    T, H, W = grid_shape(latent_shape, patch)
    blocks = tokens_NP.reshape(T, H, W, -1, *patch)
    return blocks.permute(3, 0, 4, 1, 5, 2, 6).reshape(tuple(latent_shape))


@dataclass(frozen=True)
class Geometry:
    """Where the tokens of a pack are; the same for every step of a sampling run."""

    grids: tuple[tuple[int, int, int], ...]
    """Tokens of each document along time, height and width."""
    text_lengths: tuple[int, ...]
    """Text tokens of each document; 0 for none."""

    @cached_property
    def lengths(self) -> list[int]:
        return [t * h * w for t, h, w in self.grids]

    @cached_property
    def coordinates_N4(self) -> np.ndarray:
        """(N, 4) int64: document, frame, row, column."""
        parts = [np.insert(np.indices(g).reshape(3, -1).T, 0, i, axis=1) for i, g in enumerate(self.grids)]
        return np.concatenate(parts)

    def self_buckets(self, layout: str) -> list[Bucket]:
        return self_attention_buckets(LAYOUTS[layout](self.coordinates_N4))

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


def plan_packs(token_counts: Mapping[str, int], capacity: int, key: str) -> list[list[str]]:
    """Divide the samples of an epoch into packs of at most `capacity` tokens, each sample once.

    Samples are shuffled; runs of PLAN_BUFFER are packed by first-fit decreasing; packs are ordered by cost within a
    run, so that workers that take neighbours finish together, and the epoch starts at a place that `key` picks.

    Args:
        token_counts: tokens of each sample, by id.
        key: names release, seed and epoch; the plan is a pure function of these three arguments.
    Raises:
        ValueError: a sample alone has more than `capacity` tokens.
    """
    for sample_id, count in token_counts.items():
        if count > capacity:
            raise ValueError(f"sample {sample_id} has {count} tokens, more than the {capacity} of a pack")
    rng = random.Random(key)
    ids = sorted(token_counts)
    rng.shuffle(ids)
    packs: list[list[str]] = []
    for start in range(0, len(ids), PLAN_BUFFER):
        run = _first_fit_decreasing(ids[start : start + PLAN_BUFFER], token_counts, capacity)
        run.sort(key=lambda pack: pack_cost(token_counts[i] for i in pack))
        cut = rng.randrange(len(run))
        packs += run[cut:] + run[:cut]
    return packs


def pack_cost(counts) -> int:
    """Work of a pack in arbitrary units: its tokens, and the squares of its documents' lengths for attention."""
    return sum(count + count * count // 1024 for count in counts)


def fill_frac(packs: Sequence[Sequence[str]], token_counts: Mapping[str, int], capacity: int) -> float:
    """Share of the packs' capacity that holds tokens."""
    return sum(token_counts[i] for pack in packs for i in pack) / (capacity * len(packs))


def _first_fit_decreasing(ids: Sequence[str], token_counts: Mapping[str, int], capacity: int) -> list[list[str]]:
    packs: list[list[str]] = []
    room: list[int] = []
    for sample_id in sorted(ids, key=lambda i: -token_counts[i]):
        count = token_counts[sample_id]
        place = next((p for p, free in enumerate(room) if free >= count), None)
        if place is None:
            packs.append([])
            room.append(capacity)
            place = len(packs) - 1
        packs[place].append(sample_id)
        room[place] -= count
    return packs
