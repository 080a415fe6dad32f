"""Columns of small tuples of all clips, of which only a few are Python's at a time."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from itertools import chain

import pyarrow as pa

from model.training.samples import Shape
from pipeline.encode.sorted_keys import ROWS, SortedKeys


def tuples(column: pa.ChunkedArray) -> Iterator[tuple[int, ...]]:
    """The lists of a column, all of one length."""
    slices = (column.slice(start, ROWS).combine_chunks() for start in range(0, len(column), ROWS))
    rows = (lists.flatten().to_numpy().reshape(len(lists), -1).tolist() for lists in slices)
    return map(tuple, chain.from_iterable(rows))


class Shapes(Mapping[str, Shape]):
    """The shape of each clip's latent, by clip, in the order of their ids."""

    def __init__(self, keys: SortedKeys, shapes: pa.ChunkedArray) -> None:
        self._keys, self._shapes = keys, shapes

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __getitem__(self, clip_id: str) -> Shape:
        channels, frames, height, width = self._shapes[self._keys.row(clip_id)].as_py()
        return channels, frames, height, width

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._keys

    def items(self) -> ItemsView[str, Shape]:
        return _Items(self)

    def values(self) -> ValuesView[Shape]:
        return _Values(self)

    def in_order(self) -> Iterator[Shape]:
        """The shapes of all clips."""
        return ((channels, frames, height, width) for channels, frames, height, width in tuples(self._shapes))


class _Items(ItemsView[str, Shape]):
    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self._of = shapes

    def __iter__(self) -> Iterator[tuple[str, Shape]]:
        return zip(self._of, self._of.in_order(), strict=True)


class _Values(ValuesView[Shape]):
    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self._of = shapes

    def __iter__(self) -> Iterator[Shape]:
        return self._of.in_order()
