"""Stored latents and text embeddings, found by their keys: what is known of all is in memory, the arrays are on disk.

Files of arrays are neither compressed nor encoded, so the index can say where in its file an array lies, and it is read
from there, without the rest of its row group. Each is held against the hash that was written with it. Where that fails,
as in files of earlier versions, Parquet reads the row group; if it fails again, the array is corrupt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from pipeline.encode.places import PLACE, CorruptArray, gather_places, newest_of_each
from pipeline.encode.sorted_keys import SortedKeys
from pipeline.store.dataset import Dataset
from schemas.columns import Table
from schemas.errors import is_outage
from schemas.identity import bytes_digest

MAX_OPEN_FILES = 256


class StoredArrays:
    """Arrays whose places are known."""

    def __init__(self, dataset: Dataset, paths: Sequence[str], index: pa.Table) -> None:
        """Take an index.

        Args:
            paths: of the part files, by their numbers in the index.
            index: a row an array, sorted by the first column, which is its key: where it is, and what it must be.
        """
        self._dataset, self._paths, self.index = dataset, paths, index
        self._opened = OrderedDict[int, pa.NativeFile]()
        self.keys = SortedKeys(index.column(0))
        self._columns = {name: index[name] for name in ("dtype", "shape", "data_hash", *PLACE)}

    @classmethod
    def of_table(
        cls,
        dataset: Dataset,
        table: Table,
        wanted: pa.Table,
        columns: Sequence[str] = (),
        where: str = "true",
        paths: Sequence[str] | None = None,
    ) -> StoredArrays:
        """The newest row of each key of a table that has an array.

        Args:
            wanted: values of key columns; a row must equal one of them. Arrays are found by the first column, where it
                has each value once.
            columns: further columns of the index, and of the condition.
            where: SQL of what else rows must be.
            paths: of the part files that are looked into; all by default.
        Raises:
            CorruptArray: a file's columns cannot be read.
        """
        paths = dataset.part_files(table.folder) if paths is None else paths
        names = wanted.column_names
        with duckdb.connect() as connection:
            gather_places(connection, "found", dataset, table, paths, [*names, *columns])
            connection.register("wanted", wanted)
            rows = f"(from found semi join wanted using ({', '.join(names)}) where {where})"
            newest = f"{newest_of_each(rows, ', '.join(names))} order by {', '.join(names)}"
            return cls(dataset, paths, connection.sql(newest).to_arrow_table())

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def read(self, keys: Sequence[str]) -> list[np.ndarray]:
        """The arrays of these keys, in their order, writable.

        Raises:
            KeyError: there is none of a key.
            CorruptArray: one is not what was written.
        """
        return self.read_rows([self.keys.row(key) for key in keys])

    def read_rows(self, rows: Sequence[int]) -> list[np.ndarray]:
        """The arrays of these rows of the index, in their order, writable.

        Raises:
            CorruptArray: one is not what was written.
        """
        facts = [self._facts(row) for row in rows]
        in_order = sorted(range(len(rows)), key=lambda number: (facts[number]["file"], facts[number]["start"]))
        arrays = {number: self._array(self.keys[rows[number]], facts[number]) for number in in_order}
        return [arrays[number] for number in range(len(rows))]

    def corrupt(self) -> list[str]:
        """The keys of all arrays that are not what was written, or cannot be read; all are read."""
        in_order = np.lexsort([self.index["start"].to_numpy(), self.index["file"].to_numpy()]).tolist()
        return [self.keys[row] for row in in_order if not self._is_whole(self.keys[row], self._facts(row))]

    def _is_whole(self, key: str, row: Mapping[str, Any]) -> bool:
        try:
            self._array(key, row)
        except CorruptArray:
            return False
        return True

    def _facts(self, row: int) -> dict[str, Any]:
        return {name: column[row].as_py() for name, column in self._columns.items()}

    def _array(self, key: str, row: Mapping[str, Any]) -> np.ndarray:
        array = self._at_its_place(row)
        if bytes_digest(array.data) != row["data_hash"]:
            array = np.frombuffer(self._value(key, row), np.uint8).copy()
        try:
            return array.view(row["dtype"]).reshape(row["shape"])
        except (ValueError, TypeError) as error:
            place = f"{self._paths[row['file']]}, row group {row['row_group']}, row {row['row']}"
            raise CorruptArray(f"{key}: {place}: {len(array)} bytes are not {row['dtype']} {row['shape']}") from error

    def _at_its_place(self, row: Mapping[str, Any]) -> np.ndarray:
        """The bytes that lie where the array should be."""
        found = np.empty(row["num_bytes"], np.uint8)
        try:
            file = self._file(row["file"])
            file.seek(row["start"])
            return found[: file.readinto(found)]
        except (OSError, pa.ArrowInvalid):  # the latter before the start of a file that is laid out otherwise
            return found[:0]

    def _value(self, key: str, row: Mapping[str, Any]) -> pa.Buffer:
        """The array as Parquet reads it."""
        place = f"{self._paths[row['file']]}, row group {row['row_group']}"
        try:
            with pyarrow.parquet.ParquetFile(self._dataset.open_file(self._paths[row["file"]])) as file:
                data = file.read_row_group(row["row_group"], columns=["data"])["data"]
        except (OSError, pa.ArrowInvalid) as error:
            if is_outage(error):
                raise
            raise CorruptArray(f"{key}: {place}: {' '.join(str(error).split())}") from error
        value = data[row["row"]].as_buffer()
        if row["data_hash"] is not None and bytes_digest(memoryview(value)) != row["data_hash"]:
            raise CorruptArray(f"{key}: {place}, row {row['row']}: bytes differ")
        return value

    def _file(self, number: int) -> pa.NativeFile:
        """One of the last files that were read, or opened now."""
        if number not in self._opened:
            self._opened[number] = self._dataset.open_file(self._paths[number])
            if len(self._opened) > MAX_OPEN_FILES:
                self._opened.popitem(last=False)[1].close()
        self._opened.move_to_end(number)
        return self._opened[number]
