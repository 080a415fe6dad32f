"""Where each token of a pack is, and what kind of token: a table, not grids.

So a document may have lost tokens, have frames that were encoded on their own, or be given in part; what a network adds
to the sequence (text, registers) becomes more rows.

Shapes: N tokens, B documents, K tokens that are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np


class Kind(IntEnum):
    """What a token is of."""

    CLIP = 0
    """A patch of the clip."""
    FRAME = 1
    """A patch of one frame that was encoded on its own."""
    TEXT = 2
    REGISTER = 3
    """A learned token without content (Darcet et al. 2024)."""
    CONDITION = 4
    """The noise level and what else is told of the whole document."""


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The tokens of a pack, those of a document side by side, documents in order."""

    document_N: np.ndarray
    """int64."""
    place_N3: np.ndarray
    """int64: patch along time, row and column of patches."""
    seconds_N: np.ndarray
    """float32, time of the first frame of the patch."""
    kind_N: np.ndarray
    """int8, of `Kind`."""
    clean_N: np.ndarray
    """bool: all of it is given as a condition, so it is at timestep 0."""
    routed_N: np.ndarray
    """bool: in training, it goes past some of the blocks of a network (`model.transformer.routing`)."""
    text_lengths: tuple[int, ...]
    """Text tokens of each document, 0 for none; they are no rows until a network puts them into its sequence."""

    @cached_property
    def prepared(self) -> dict[Any, Any]:
        """What a network has worked out of this table, by names of its own: once for all that have it."""
        return {}

    @property
    def num_documents(self) -> int:
        return len(self.text_lengths)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each document."""
        return np.bincount(self.document_N, minlength=self.num_documents).tolist()

    @cached_property
    def extents(self) -> list[tuple[int, int, int]]:
        """Patches of each document along time, height and width, as far as there are any."""
        largest_B3 = np.zeros((self.num_documents, 3), np.int64)
        np.maximum.at(largest_B3, self.document_N, self.place_N3 + 1)
        return [(t, h, w) for t, h, w in largest_B3.tolist()]

    @cached_property
    def coordinates_N4(self) -> np.ndarray:
        """(N, 4) int64: document, time, row, column."""
        return np.concatenate([self.document_N[:, None], self.place_N3], axis=1)

    def take(self, rows: np.ndarray) -> TokenTable:
        """Some of the rows, in the order given."""
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "text_lengths"}
        return TokenTable(**columns, text_lengths=self.text_lengths)

    def with_added(self, documents_K: np.ndarray, kind: Kind) -> TokenTable:
        """With tokens behind the others that are nowhere in their documents, and as noisy as those."""
        num_added = len(documents_K)
        return TokenTable(
            np.concatenate([self.document_N, documents_K]),
            np.concatenate([self.place_N3, np.zeros((num_added, 3), np.int64)]),
            np.concatenate([self.seconds_N, np.zeros(num_added, np.float32)]),
            np.concatenate([self.kind_N, np.full(num_added, kind, np.int8)]),
            np.concatenate([self.clean_N, np.zeros(num_added, bool)]),
            np.concatenate([self.routed_N, np.zeros(num_added, bool)]),
            self.text_lengths,
        )

    def frames(self) -> tuple[TokenTable, np.ndarray]:
        """A table with one token for each frame of each document, clean where all of the frame is, and for each token
        of this one the row of its frame, (N,) int64."""
        _, first, frame_N = np.unique(self.coordinates_N4[:, :2], axis=0, return_index=True, return_inverse=True)
        frame_N = frame_N.reshape(-1)
        table = self.take(first)
        place_F3 = table.place_N3 * np.array([1, 0, 0])
        clean_F = np.bincount(frame_N, weights=~self.clean_N) == 0
        return replace(table, place_N3=place_F3, clean_N=clean_F, routed_N=np.zeros(len(first), bool)), frame_N

    @cached_property
    def text_rows(self) -> np.ndarray:
        """Where the text tokens of a sequence are among the texts, one document after another: a document without text
        has the row after the last."""
        ends = np.cumsum(self.text_lengths)
        rows = [
            np.arange(end - length, end) if length else ends[-1:]
            for end, length in zip(ends, self.text_lengths, strict=True)
        ]
        return np.concatenate(rows)

    @cached_property
    def text_documents(self) -> np.ndarray:
        """The document of each of `text_rows`."""
        return np.repeat(np.arange(self.num_documents), np.maximum(self.text_lengths, 1))


def grid_tokens(grid: tuple[int, int, int]) -> np.ndarray:
    """Places of a grid's tokens in order of time, row, column, (T * H * W, 3) int64."""
    return np.indices(grid).reshape(3, -1).T


def table_of_grids(
    grids: Sequence[tuple[int, int, int]], text_lengths: Sequence[int], seconds_a_patch: float = 1.0
) -> TokenTable:
    """Whole clips, none of them given in any part."""
    places = [grid_tokens(grid) for grid in grids]
    document_N = np.repeat(np.arange(len(grids)), [len(place) for place in places])
    place_N3 = np.concatenate(places)
    num_tokens = len(document_N)
    return TokenTable(
        document_N,
        place_N3,
        (place_N3[:, 0] * seconds_a_patch).astype(np.float32),
        np.full(num_tokens, Kind.CLIP, np.int8),
        np.zeros(num_tokens, bool),
        np.zeros(num_tokens, bool),
        tuple(text_lengths),
    )
