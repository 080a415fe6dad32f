"""Columns of strings, of which few are Python's at a time; in a sorted one a key is found by bisection."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import overload

import pyarrow as pa

ROWS = 1 << 14
"""That are Python's strings at a time, of all."""


class Strings(Sequence[str]):
    """The strings of a column: as much memory as the column, and no more."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...

    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        return self._column[row].as_py() if isinstance(row, int) else self._column[row].to_pylist()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), ROWS):
            yield from self._column.slice(start, ROWS).to_pylist()


class SortedKeys(Strings):
    """Keys that differ, sorted by their bytes: keys by their rows, and rows by their keys."""

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def row(self, key: str) -> int:
        """Where a key is.

        Raises:
            KeyError: it is none of them.
        """
        row = self._find(key)
        if row is None:
            raise KeyError(key)
        return row

    def _find(self, key: str) -> int | None:
        row = bisect_left(self, key)
        return row if row < len(self) and self[row] == key else None
