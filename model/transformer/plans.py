"""What a transformer works out of a table of tokens before it sees a value: attention plans, rows, positions.

The same for all blocks, for all steps of a sampling run, and made by a loader ahead of the network.

Shapes: V tokens of the pack, N of the sequence, K those of it that go through all blocks where others are routed past
some, D model width, B documents, M text tokens, F frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.packing.tokens import Kind, TokenTable
from model.transformer.attention import AttentionPlan, HeadPlans, Plan
from model.transformer.blocks import View
from model.transformer.config import TransformerConfig
from model.transformer.layouts import (
    FRAMES,
    Bucket,
    buckets_of,
    cross_attention_buckets,
    self_attention_buckets,
    split_groups,
)
from model.transformer.positions import POSITIONS_PER_S, axis_dims, rotary_angles, sine_cosine
from model.transformer.routing import Route


@dataclass(frozen=True)
class Views:
    """What blocks read of some tokens."""

    tokens: View
    frames: View | None = None
    """Of one token a frame."""
    frame_N: Tensor | None = None
    """The frame of each token."""


@dataclass(frozen=True)
class Through:
    """The tokens that go through the blocks of a route, while others go past them."""

    route: Route
    rows_K: Tensor
    """Their rows in the sequence."""
    views: Views

    def leave(self, x_ND: Tensor) -> Tensor:
        """They alone, (K, D)."""
        return x_ND.index_select(0, self.rows_K)

    def join(self, x_KD: Tensor, before_ND: Tensor) -> Tensor:
        """All tokens again, (N, D): the others as they were before."""
        return before_ND.to(x_KD.dtype).index_copy(0, self.rows_K, x_KD)


@dataclass(frozen=True)
class Prepared:
    """Of one table, for transformers of one config, on a device."""

    every: Views
    """Of the whole sequence."""
    through: Through | None
    """None if no token is routed."""
    text_rows: Tensor | None
    """The rows of the texts that are in the sequence."""
    refiner_plan: AttentionPlan | None
    """Every text over itself."""
    added_VD: Tensor | None
    """Positions that are added to the tokens."""
    is_frame_V1: Tensor
    is_clean_V1: Tensor
    """1.0 where a token is of a frame on its own, or clean."""


def prepared_for(
    config: TransformerConfig, table: TokenTable, device: torch.device, route: Route | None = None
) -> Prepared:
    """Work it out.

    Args:
        route: of the tokens that the table calls routed; without one they go through all blocks.
    Raises:
        ValueError: there are frames on their own, and the transformer knows none.
    """
    is_frame_V = table.kind_N == Kind.FRAME
    if is_frame_V.any() and not config.lone_frames:
        raise ValueError("a frame that was encoded on its own is given, and lone_frames is off: it was not trained on")
    sequence = _sequence(config, table)
    num_text = len(table.text_rows) if config.text_in_sequence else 0
    through = None
    if route is not None and sequence.routed_N.any():
        rows_K = np.flatnonzero(~sequence.routed_N)
        views = _views(config, sequence.take(rows_K), num_text, device, route.layouts(config))
        through = Through(route, tensor(rows_K, device), views)
    return Prepared(
        every=_views(config, sequence, num_text, device, config.layouts),
        through=through,
        text_rows=tensor(table.text_rows, device) if config.text_in_sequence else None,
        refiner_plan=AttentionPlan(_text_buckets(table), device) if config.text_refiner else None,
        added_VD=_added(config, table, device),
        is_frame_V1=tensor(is_frame_V[:, None].astype(np.float32), device),
        is_clean_V1=tensor(table.clean_N[:, None].astype(np.float32), device),
    )


def tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _sequence(config: TransformerConfig, table: TokenTable) -> TokenTable:
    """With the tokens that the transformer adds."""
    documents = np.arange(table.num_documents)
    if config.registers:
        table = table.with_added(np.repeat(documents, config.registers), Kind.REGISTER)
    if config.conditioning == "in_context":
        table = table.with_added(documents, Kind.CONDITION)
    return table.with_added(table.text_documents, Kind.TEXT) if config.text_in_sequence else table


def _views(
    config: TransformerConfig, table: TokenTable, num_text: int, device: torch.device, layouts: tuple[str, ...]
) -> Views:
    tokens = _view(config, table, num_text, device, layouts)
    if FRAMES not in layouts:
        return Views(tokens)
    of_frames, frame_N = table.frames()
    return Views(tokens, _view(config, of_frames, 0, device, ("joint",)), tensor(frame_N, device))


def _view(
    config: TransformerConfig, table: TokenTable, num_text: int, device: torch.device, layouts: tuple[str, ...]
) -> View:
    names = {name for name in layouts if name != FRAMES} | ({"temporal"} if config.time_attention else set())
    return View(
        row_N=tensor(2 * table.document_N + ~table.clean_N, device),
        angles_Nr=_angles(config, table, device),
        plans={name: _plan(name, table.coordinates_N4, device) for name in sorted(names)},
        text_plan=AttentionPlan(cross_buckets(config, table), device) if config.attends_to_text else None,
        num_video=len(table.document_N) - num_text,
    )


def _plan(layout: str, coordinates_N4: np.ndarray, device: torch.device) -> Plan:
    plans = [AttentionPlan(buckets_of(name, coordinates_N4), device) for name in layout.split("+")]
    return plans[0] if len(plans) == 1 else HeadPlans(tuple(plans))


def _angles(config: TransformerConfig, table: TokenTable, device: torch.device) -> Tensor | None:
    if not config.is_rotary:
        return None
    positions_N3 = table.place_N3.astype(np.float32)
    if config.positions == "seconds":
        positions_N3[:, 0] = table.seconds_N * np.float32(POSITIONS_PER_S)
    return rotary_angles(tensor(positions_N3, device), config.rotary_dims or axis_dims(config.head_dim))


def _added(config: TransformerConfig, table: TokenTable, device: torch.device) -> Tensor | None:
    if not config.positions.startswith("sincos"):
        return None
    with_time = config.positions == "sincos_time"
    return sine_cosine(tensor(table.place_N3, device), config.width, with_time=with_time)


def cross_buckets(config: TransformerConfig, table: TokenTable) -> list[Bucket]:
    """Every document's tokens over its own text, or over the row after the last text if it has none; and over the row
    of its conditioning, which come after those, if that is read so."""
    ends = np.cumsum(table.text_lengths)
    keys = []
    for document, (end, length) in enumerate(zip(ends, table.text_lengths, strict=True)):
        rows = [np.arange(end - length, end) if length else ends[-1:]] if config.text == "cross" else []
        if config.conditioning == "cross":
            first = ends[-1] + 1 if config.text == "cross" else 0
            rows.append(np.array([first + document]))
        keys.append(np.concatenate(rows))
    queries = split_groups(table.document_N[:, None])
    return cross_attention_buckets(queries, [keys[table.document_N[rows[0]]] for rows in queries])


def _text_buckets(table: TokenTable) -> list[Bucket]:
    """Every text over itself; the token for no text is alone."""
    documents = np.repeat(np.arange(table.num_documents), table.text_lengths)
    return self_attention_buckets(np.append(documents, -1)[:, None])
