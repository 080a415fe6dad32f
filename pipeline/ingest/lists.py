"""Lists of inputs: rows of text, Parquet or JSON. What is text stays as it is written: an id `00123` is no number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet
from pyarrow import NativeFile

MAX_CELL_CHARACTERS = 1 << 24


class BadList(ValueError):
    """A list that cannot be read; one line."""


Stream = NativeFile | BinaryIO
Rows = tuple[list[str], list[dict[str, Any]]]
"""Names of the columns, and the rows."""


def read_csv(stream: Stream) -> Rows:
    """Comma-separated text in UTF-8 with a line of names; empty cells are left out.

    Raises:
        BadList: not UTF-8, no names, or a row of another number of cells.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with _lines(stream) as lines:
        reader = csv.reader(lines, strict=True)
        try:
            names = next(reader, [])
            if not names:
                raise BadList("is empty")
            rows = []
            for number, cells in enumerate((cells for cells in reader if cells), start=1):
                if len(cells) != len(names):
                    raise BadList(f"row {number} has {len(cells)} cells for {len(names)} columns")
                rows.append({name: cell for name, cell in zip(names, cells, strict=True) if cell})
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadList(f"line {max(reader.line_num, 1)}: {error}") from error
    return names, rows


def read_jsonl(stream: Stream) -> Rows:
    """A JSON object a line.

    Raises:
        BadList: a line that is none.
    """
    names: dict[str, None] = {}
    rows = []
    with _lines(stream) as lines:
        try:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise BadList(f"line {number} is no JSON object")
                rows.append(row)
                names |= dict.fromkeys(row)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadList(f"row {len(rows) + 1}: {error}") from error
    return list(names), rows


def read_parquet(stream: Stream) -> Rows:
    """A Parquet table.

    Raises:
        BadList: it cannot be read, or its uris are no text.
    """
    try:
        table = pyarrow.parquet.read_table(stream)
    except pa.ArrowException as error:
        raise BadList(" ".join(str(error).split())) from error
    names = table.column_names
    if "uri" in names and not (
        pa.types.is_string(kind := table.schema.field("uri").type) or pa.types.is_large_string(kind)
    ):
        raise BadList(f"column 'uri' is of type {kind}, not text")
    return names, table.to_pylist()


LIST_READERS: dict[str, Callable[[Stream], Rows]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".jsonl": read_jsonl,
}
"""By the suffix of the file."""


def _lines(stream: Stream) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
