"""Stored latents and text embeddings, found by their keys: what is known of all is in memory, the arrays are on disk.

An array is read with its row group, a few rows, from whichever part file has it, and held against the hash that was
written with it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet

from pipeline.store.dataset import Dataset
from schemas.columns import Table
from schemas.identity import bytes_digest

MAX_OPEN_FILES = 64
PLACE = ("file", "row_group", "row")
ON_DISK = ("dtype", "shape", "data_hash", "written_us")


class CorruptArray(ValueError):
    """An array is not what was written; one line that names its key and place."""


@dataclass(frozen=True)
class _Opened:
    """The last files that were read, each with its footer."""

    dataset: Dataset
    files: OrderedDict[str, pyarrow.parquet.ParquetFile]

    def __getitem__(self, path: str) -> pyarrow.parquet.ParquetFile:
        if path not in self.files:
            self.files[path] = pyarrow.parquet.ParquetFile(self.dataset.open_file(path))
            if len(self.files) > MAX_OPEN_FILES:
                self.files.popitem(last=False)[1].close()
        self.files.move_to_end(path)
        return self.files[path]


class StoredArrays:
    """The newest row of each key of a table that has an array."""

    def __init__(
        self, dataset: Dataset, table: Table, wanted: pa.Table, columns: Sequence[str] = (), where: str = "true"
    ) -> None:
        """Read the index: all columns asked for but the arrays, of the rows asked for.

        Args:
            wanted: values of key columns; a row must equal one of them. The first column has each value once, and
                arrays are found by it.
            columns: further columns of the index, and of the condition.
            where: SQL of what else rows must be.
        """
        self._paths = dataset.part_files(table.folder)
        self._opened = _Opened(dataset, OrderedDict())
        key, names = wanted.column_names[0], [*wanted.column_names, *columns, *ON_DISK]
        some = pc.field(key).isin(wanted[key].combine_chunks())
        parts = (_placed(dataset.scanner(table, [path]), number, names) for number, path in enumerate(self._paths))
        found = [part.filter(some) for part in parts]
        connection = duckdb.connect()
        connection.register("found", pa.concat_tables(found) if found else _no_rows(table, names))
        connection.register("wanted", wanted)
        newest = f"row_number() over (partition by {key} order by written_us desc)"
        self.index: pa.Table = connection.sql(
            f"from found semi join wanted using ({', '.join(wanted.column_names)}) where {where} "
            f"qualify {newest} = 1 order by {key}"
        ).to_arrow_table()
        """A row a key, by which it is sorted: the columns asked for, where the array is, and what it must be."""
        self._rows = {name: row for row, name in enumerate(self.index[key].to_pylist())}

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def read(self, keys: Sequence[str]) -> list[np.ndarray]:
        """The arrays of these keys, in their order, writable.

        Raises:
            KeyError: there is none of a key.
            CorruptArray: one is not what was written.
        """
        rows = self.index.take(pa.array([self._rows[key] for key in keys], pa.int64())).to_pylist()
        of_group: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            of_group[row["file"], row["row_group"]].append(number)
        arrays: dict[int, np.ndarray] = {}
        for (file, group), numbers in sorted(of_group.items()):
            data = self._data(keys[numbers[0]], file, group)
            for number in numbers:
                stored, row = data[rows[number]["row"]].as_buffer(), rows[number]
                if row["data_hash"] is not None and bytes_digest(stored) != row["data_hash"]:
                    raise CorruptArray(f"{keys[number]}: {self._place(file, group)}, row {row['row']}: bytes differ")
                arrays[number] = np.frombuffer(stored, row["dtype"]).reshape(row["shape"]).copy()
        return [arrays[number] for number in range(len(keys))]

    def _data(self, key: str, file: int, group: int) -> pa.ChunkedArray:
        try:
            return self._opened[self._paths[file]].read_row_group(group, columns=["data"])["data"]
        except (OSError, pa.ArrowInvalid) as error:
            raise CorruptArray(f"{key}: {self._place(file, group)}: {' '.join(str(error).split())}") from error

    def _place(self, file: int, group: int) -> str:
        return f"{self._paths[file]}, row group {group}"


def _placed(part: pyarrow.dataset.Dataset, number: int, names: Sequence[str]) -> pa.Table:
    """Columns of a part file, with the place of each row."""
    (fragment,) = part.get_fragments()
    groups = [fragment.metadata.row_group(group).num_rows for group in range(fragment.metadata.num_row_groups)]
    table = part.to_table(columns=list(names))
    places = (
        np.full(table.num_rows, number, np.int32),
        np.repeat(np.arange(len(groups), dtype=np.int32), groups),
        np.concatenate([np.arange(rows, dtype=np.int32) for rows in groups] or [np.zeros(0, np.int32)]),
    )
    for name, place in zip(PLACE, places, strict=True):
        table = table.append_column(name, pa.array(place))
    return table


def _no_rows(table: Table, names: Sequence[str]) -> pa.Table:
    fields = [table.stored_schema.field(name) for name in names]
    return pa.schema([*fields, *(pa.field(name, pa.int32()) for name in PLACE)]).empty_table()
