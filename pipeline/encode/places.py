"""Where the arrays of a table lie: a row for each, read from the footers and the small columns of its part files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from pipeline.store.dataset import ONE_PAGE_BYTES, ROWS_AT_A_TIME, Dataset
from schemas.columns import Table
from schemas.errors import is_outage

PLACE = {"file": pa.int32(), "row_group": pa.int32(), "row": pa.int32(), "start": pa.int64(), "num_bytes": pa.int64()}
"""Where an array is: the file, its row in a row group, and its bytes in the file."""
ON_DISK = ("dtype", "shape", "data_hash", "written_us")
LENGTH_BYTES = 4
"""Before each value of Parquet's plain encoding (Apache Parquet's specification of encodings, PLAIN)."""


class CorruptArray(ValueError):
    """An array is not what was written, or its file cannot be read; one line that names key and place, or the file."""


def gather_places(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    dataset: Dataset,
    table: Table,
    paths: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Make a temporary table of the rows of part files, so many at a time: columns, and the place of each array.

    Args:
        paths: `file` is the number of a path among them.
        columns: of the table, beside those that say what an array must be.
    Raises:
        CorruptArray: a file's columns cannot be read.
    """
    names = list(dict.fromkeys((*columns, *ON_DISK)))
    schema = table.stored_schema
    fields = [schema.field(column) for column in names]
    connection.register("of_parts", pa.schema([*fields, *PLACE.items()]).empty_table())
    connection.execute(f"create or replace temp table {name} as from of_parts")
    parts = (placed(dataset, table, path, number, names) for number, path in enumerate(paths))
    for rows in _together(parts):
        connection.register("of_parts", rows)
        connection.execute(f"insert into {name} from of_parts")
    connection.unregister("of_parts")


def newest_of_each(name: str, key: str) -> str:
    """SQL of the newest of the rows of each key, of a table or of a query."""
    return f"from {name} qualify row_number() over (partition by {key} order by written_us desc) = 1"


def _together(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables as fewer larger ones."""
    waiting, num_rows = [], 0
    for part in parts:
        waiting.append(part)
        num_rows += part.num_rows
        if num_rows >= ROWS_AT_A_TIME:
            yield pa.concat_tables(waiting)
            waiting, num_rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def unreadable(dataset: Dataset, table: Table, path: str) -> str:
    """Why a part file cannot be read, its arrays aside, in one line that names it; empty if it can."""
    names = [field.name for field in table.schema if not pa.types.is_large_binary(field.type)]
    try:
        placed(dataset, table, path, 0, names)
    except CorruptArray as error:
        return str(error)
    return ""


def placed(dataset: Dataset, table: Table, path: str, number: int, names: Sequence[str]) -> pa.Table:
    """Columns of a part file, with the place of each row.

    Raises:
        CorruptArray: they cannot be read, or are not what can have been written.
    """
    try:
        with pyarrow.parquet.ParquetFile(dataset.open_file(path)) as file:
            rows = _in_columns_of_now(table, file, names)
            rows.validate(full=True)
            places = _places(rows, file.metadata, number)
    except (OSError, ValueError, TypeError, ArithmeticError, pa.ArrowException) as error:
        if is_outage(error):
            raise
        raise CorruptArray(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    for name, place in places.items():
        rows = rows.append_column(name, place)
    return rows


def _in_columns_of_now(table: Table, file: pyarrow.parquet.ParquetFile, names: Sequence[str]) -> pa.Table:
    """Columns of a file; one that it was written without is null. A scan of its many row groups takes six times as
    long."""
    there, schema = set(file.schema_arrow.names), table.stored_schema
    rows = file.read([name for name in names if name in there], use_threads=False)
    fields = [schema.field(name).with_nullable(True) for name in names]
    columns = [rows[f.name] if f.name in there else pa.nulls(rows.num_rows, f.type) for f in fields]
    return pa.table(columns, names=list(names)).cast(pa.schema(fields))


def _places(rows: pa.Table, metadata: pyarrow.parquet.FileMetaData, number: int) -> dict[str, pa.Array]:
    """The columns `PLACE` of the rows of a file."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    counts = np.array([group.num_rows for group in groups], np.int64)
    leaves = [metadata.schema.column(leaf).path for leaf in range(metadata.num_columns)]
    arrays = [group.column(leaves.index("data")) for group in groups]
    ends = np.array([column.data_page_offset + column.total_compressed_size for column in arrays], np.int64)
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
