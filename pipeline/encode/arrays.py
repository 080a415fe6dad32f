"""Stored latents and text embeddings, found by their keys: what is known of all is in memory, the arrays are on disk.

Files of arrays are neither compressed nor encoded, so the index can say where in its file an array lies, and it is read
from there, without the rest of its row group. Each is held against the hash that was written with it. Where that fails,
as in files of earlier versions, Parquet reads the row group; if it fails again, the array is corrupt.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet

from pipeline.store.dataset import ONE_PAGE_BYTES, Dataset
from schemas.columns import Table
from schemas.errors import is_outage
from schemas.identity import bytes_digest

MAX_OPEN_FILES = 256
PLACE = {"file": pa.int32(), "row_group": pa.int32(), "row": pa.int32(), "start": pa.int64(), "num_bytes": pa.int64()}
"""Where an array is: the file, its row in a row group, and its bytes in the file."""
ON_DISK = ("dtype", "shape", "data_hash", "written_us")
LENGTH_BYTES = 4
"""Before each value of Parquet's plain encoding (Apache Parquet's specification of encodings, PLAIN)."""


class CorruptArray(ValueError):
    """An array is not what was written, or its file cannot be read; one line that names key and place, or the file."""


class StoredArrays:
    """The newest row of each key of a table that has an array."""

    def __init__(
        self,
        dataset: Dataset,
        table: Table,
        wanted: pa.Table,
        columns: Sequence[str] = (),
        where: str = "true",
        paths: Sequence[str] | None = None,
    ) -> None:
        """Read the index: all columns asked for but the arrays, of the rows asked for.

        Args:
            wanted: values of key columns; a row must equal one of them. The first column has each value once, and
                arrays are found by it.
            columns: further columns of the index, and of the condition.
            where: SQL of what else rows must be.
            paths: of the part files that are looked into; all by default.
        Raises:
            CorruptArray: a file's columns cannot be read.
        """
        self._paths = dataset.part_files(table.folder) if paths is None else paths
        self._dataset, self._opened = dataset, OrderedDict[int, pa.NativeFile]()
        key, names = wanted.column_names[0], list(dict.fromkeys((*wanted.column_names, *columns, *ON_DISK)))
        some = pc.field(key).isin(wanted[key].combine_chunks())
        parts = (_placed(dataset, table, path, number, names) for number, path in enumerate(self._paths))
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
        self._columns = {name: self.index[name].combine_chunks() for name in ("dtype", "shape", "data_hash", *PLACE)}

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def read(self, keys: Sequence[str]) -> list[np.ndarray]:
        """The arrays of these keys, in their order, writable.

        Raises:
            KeyError: there is none of a key.
            CorruptArray: one is not what was written.
        """
        rows = [self._facts(key) for key in keys]
        in_order = sorted(range(len(keys)), key=lambda number: (rows[number]["file"], rows[number]["start"]))
        arrays = {number: self._array(keys[number], rows[number]) for number in in_order}
        return [arrays[number] for number in range(len(keys))]

    def corrupt(self) -> list[str]:
        """The keys of all arrays that are not what was written, or cannot be read; all are read."""
        places = ((row["file"], row["start"], key, row) for key, row in ((key, self._facts(key)) for key in self._rows))
        return [key for _, _, key, row in sorted(places, key=lambda place: place[:2]) if not self._is_whole(key, row)]

    def _is_whole(self, key: str, row: Mapping[str, Any]) -> bool:
        try:
            self._array(key, row)
        except CorruptArray:
            return False
        return True

    def _facts(self, key: str) -> dict[str, Any]:
        row = self._rows[key]
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


def unreadable(dataset: Dataset, table: Table, path: str) -> str:
    """Why a part file cannot be read, its arrays aside, in one line that names it; empty if it can."""
    names = [field.name for field in table.schema if not pa.types.is_large_binary(field.type)]
    try:
        _placed(dataset, table, path, 0, names)
    except CorruptArray as error:
        return str(error)
    return ""


def _placed(dataset: Dataset, table: Table, path: str, number: int, names: Sequence[str]) -> pa.Table:
    """Columns of a part file, with the place of each row.

    Raises:
        CorruptArray: they cannot be read, or are not what can have been written.
    """
    try:
        part = dataset.scanner(table, [path])
        (fragment,) = part.get_fragments()
        rows = part.to_table(columns=list(names))
        rows.validate(full=True)
        places = _places(rows, fragment.metadata, number)
    except (OSError, ValueError, TypeError, ArithmeticError, pa.ArrowException) as error:
        if is_outage(error):
            raise
        raise CorruptArray(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    for name, place in places.items():
        rows = rows.append_column(name, place)
    return rows


def _places(rows: pa.Table, metadata: pyarrow.parquet.FileMetaData, number: int) -> dict[str, pa.Array]:
    """The columns `PLACE` of the rows of a file."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    counts = np.array([group.num_rows for group in groups], np.int64)
    ends = np.array([_end_of_arrays(group) for group in groups], np.int64)
    firsts = np.cumsum(counts) - counts
    sizes = _array_bytes(rows)
    # From the end of a row group's last array back to the start of each.
    taken = np.cumsum((sizes + LENGTH_BYTES * (sizes > 0))[::-1])[::-1]
    beyond = np.append(taken, 0)[firsts + counts]
    places = (
        np.full(rows.num_rows, number),
        np.repeat(np.arange(len(groups)), counts),
        np.arange(rows.num_rows) - np.repeat(firsts, counts),
        np.repeat(ends + beyond, counts) - taken + LENGTH_BYTES,
        sizes,
    )
    return {name: pa.array(place, kind) for (name, kind), place in zip(PLACE.items(), places, strict=True)}


def _end_of_arrays(group: pyarrow.parquet.RowGroupMetaData) -> int:
    columns = (group.column(number) for number in range(group.num_columns))
    (arrays,) = (column for column in columns if column.path_in_schema == "data")
    return arrays.data_page_offset + arrays.total_compressed_size


def _array_bytes(table: pa.Table) -> np.ndarray:
    """Bytes of the array of each row, 0 where there is none.

    Raises:
        ValueError, TypeError: a shape or a type that no array has.
    """
    rows = zip(table["dtype"].to_pylist(), table["shape"].to_pylist(), strict=True)
    sizes = np.array([math.prod(shape) * np.dtype(dtype).itemsize if dtype else 0 for dtype, shape in rows], np.int64)
    if ((sizes < 0) | (sizes > ONE_PAGE_BYTES)).any():
        raise ValueError("it has an array whose shape no array can have")
    return sizes


def _no_rows(table: Table, names: Sequence[str]) -> pa.Table:
    fields = [table.stored_schema.field(name) for name in names]
    return pa.schema([*fields, *PLACE.items()]).empty_table()
