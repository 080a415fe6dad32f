"""Samples of any size in one token sequence (NaViT, Dehghani et al. 2023).

A pack holds whole documents one after another, without padding.

Shapes: N tokens, P values of a patch, C T H W a latent, B documents, M text tokens, E width of the text encoder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.packing.patches import Patch, grid_shape, patchify, unpatchify
from model.packing.tokens import Kind, TokenTable, grid_tokens

CONDITIONS = ("height", "width", "frame_rate", "duration", "motion", "label")
"""What may be told of a document beside its text. The first four follow from its latent: rows and columns of patches,
latent frames a second, seconds."""


@dataclass(frozen=True)
class Pack:
    """Tokens of several documents with all that a network reads beside them."""

    table: TokenTable
    tokens_NP: Tensor
    given_NP: Tensor
    """Bool: values that are given as a condition. A token of which only some are is as noisy as its document."""
    timestep_B: Tensor
    """Timestep of each document's tokens that are not clean."""
    text_ME: Tensor
    """Text embeddings, one document after another."""
    conditions_BK: Tensor
    """Of `CONDITIONS`; NaN for what is not told."""

    @property
    def clean_N(self) -> Tensor:
        """Bool: tokens of which all is given, at timestep 0."""
        return self.given_NP.all(dim=1)

    def to(self, device: torch.device | str) -> Pack:
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "table"}
        return replace(self, **tensors)


@dataclass(frozen=True)
class LoneFrame:
    """A frame that was encoded on its own, and is given as a condition: its latent, (C, H, W), and its time."""

    latent_CHW: Tensor
    seconds: float


@dataclass(frozen=True)
class Document:
    """One sample as the transformer sees it: a latent with noise, of which parts may be given."""

    latent_CTHW: Tensor
    given_THW: Tensor
    """Bool, (T, H, W) or what is repeated to that, as (T, 1, 1) for whole frames."""
    timestep: float
    latent_fps: float
    text_LE: Tensor | None
    frames: tuple[LoneFrame, ...] = ()
    told: Mapping[str, float] = field(default_factory=dict)
    """Conditions that do not follow from the latent."""
    kept_N: Tensor | None = None
    """Bool: patches of the clip that are tokens of the pack; all, without it."""
    routed_N: Tensor | None = None
    """Bool: patches of the clip that go past some of the blocks, in training; none without it."""

    def tokens(self, values_CTHW: Tensor, patch: Patch) -> Tensor:
        """Values of the form of the latent at the document's tokens of it, (N, P)."""
        values_NP = patchify(values_CTHW, patch)
        return values_NP if self.kept_N is None else values_NP[self.kept_N]

    def values(self, tokens_NP: Tensor, patch: Patch) -> Tensor:
        """The inverse of `tokens`, with zeros where there are none."""
        every_NP = tokens_NP
        if self.kept_N is not None:
            every_NP = tokens_NP.new_zeros(len(self.kept_N), tokens_NP.shape[1])
            every_NP[self.kept_N.to(tokens_NP.device)] = tokens_NP
        return unpatchify(every_NP, self.latent_CTHW.shape, patch)


@dataclass(frozen=True)
class _Part:
    """Tokens of one latent of a document, all of one kind."""

    tokens_NP: Tensor
    given_NP: Tensor
    place_N3: np.ndarray
    seconds_N: np.ndarray
    routed_N: np.ndarray
    kind: Kind


def pack_documents(documents: Sequence[Document], patch: Patch, text_dim: int) -> Pack:
    """Put documents one after another, in the order given.

    Attention copies least where documents of equal shape are neighbours; `packing_order` brings them together.

    Raises:
        ValueError: a latent does not divide into patches, or a frame on its own is not one of its clip.
    """
    parts = [
        [_clip(document, patch), *(_frame(document, one, patch) for one in document.frames)] for document in documents
    ]
    every = [part for of_document in parts for part in of_document]
    texts = [torch.zeros(0, text_dim) if d.text_LE is None else d.text_LE for d in documents]
    given_NP = torch.cat([part.given_NP for part in every])
    table = TokenTable(
        np.repeat(np.arange(len(documents)), [sum(len(p.place_N3) for p in of_document) for of_document in parts]),
        np.concatenate([part.place_N3 for part in every]),
        np.concatenate([part.seconds_N for part in every]),
        np.concatenate([np.full(len(part.place_N3), part.kind, np.int8) for part in every]),
        given_NP.all(dim=1).numpy(),
        np.concatenate([part.routed_N for part in every]),
        tuple(len(text) for text in texts),
    )
    return Pack(
        table=table,
        tokens_NP=torch.cat([part.tokens_NP for part in every]),
        given_NP=given_NP,
        timestep_B=torch.tensor([d.timestep for d in documents], dtype=torch.float32),
        text_ME=torch.cat(texts),
        conditions_BK=torch.tensor([_conditions(d, patch) for d in documents], dtype=torch.float32),
    )


def clip_tokens(pack: Pack) -> Tensor:
    """Rows of the pack's tokens that are patches of clips, in order, (V,) int64."""
    return torch.from_numpy(np.flatnonzero(pack.table.kind_N == Kind.CLIP))


def _clip(document: Document, patch: Patch) -> _Part:
    latent = document.latent_CTHW
    grid = grid_shape(latent.shape, patch)
    place_N3 = grid_tokens(grid)
    routed_N = np.zeros(len(place_N3), bool) if document.routed_N is None else document.routed_N.numpy()
    if document.kept_N is not None:
        kept = document.kept_N.numpy()
        place_N3, routed_N = place_N3[kept], routed_N[kept]
    return _Part(
        document.tokens(latent, patch),
        document.tokens(document.given_THW.expand(latent.shape), patch),
        place_N3,
        (place_N3[:, 0] * (patch[0] / document.latent_fps)).astype(np.float32),
        routed_N,
        Kind.CLIP,
    )


def _frame(document: Document, frame: LoneFrame, patch: Patch) -> _Part:
    """The frame fills a patch in time, repeated; it stands at the patch of its moment."""
    C, T, H, W = document.latent_CTHW.shape
    if frame.latent_CHW.shape != (C, H, W) or frame.seconds < 0:
        raise ValueError(f"a frame of {tuple(frame.latent_CHW.shape)} is none of a latent of {(C, T, H, W)}")
    tokens_NP = patchify(frame.latent_CHW[:, None].expand(C, patch[0], H, W), patch)
    place_N3 = grid_tokens((1, H // patch[1], W // patch[2]))
    last = T // patch[0] - 1
    place_N3[:, 0] = min(math.floor(frame.seconds * document.latent_fps / patch[0] + 0.5), last)
    return _Part(
        tokens_NP,
        torch.ones_like(tokens_NP, dtype=torch.bool),
        place_N3,
        np.full(len(place_N3), frame.seconds, np.float32),
        np.zeros(len(place_N3), bool),
        Kind.FRAME,
    )


def _conditions(document: Document, patch: Patch) -> list[float]:
    T, H, W = grid_shape(document.latent_CTHW.shape, patch)
    known: dict[str, Any] = {"height": H, "width": W, "frame_rate": document.latent_fps}
    known |= {"duration": T * patch[0] / document.latent_fps} | dict(document.told)
    return [float(known.get(name, math.nan)) for name in CONDITIONS]


def packing_order(latent_shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Indices that bring latents of equal shape together, stably."""
    return sorted(range(len(latent_shapes)), key=lambda i: latent_shapes[i])
