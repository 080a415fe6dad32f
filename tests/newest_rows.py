"""What two data sets are to have in common whatever went wrong on the way: the newest row of each key of each table."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow.parquet

from pipeline.store.dataset import Dataset
from pipeline.store.newest import STAMPS
from pipeline.store.views import DERIVED, QUERY_NAMES, connect

Rows = dict[str, list[tuple[Any, ...]]]
OF_RUNS = frozenset(
    (*STAMPS, "num_failures", "modified_us", "batch_id", "batch_place", "batch_shift", "num_unlike", "caption_us")
) | {"checked"}
"""Columns that say when, where or together with what a row was made."""
PATHS = ("uri", "duplicate_of")
"""Columns that hold locations: only the name of the file counts."""
MANIFEST = ("videos", "clips")


def newest_rows(dataset: Dataset) -> Rows:
    """The newest row of each key of each table and the plain tables of `manifest/`, without what belongs to runs."""
    connection = connect(dataset)
    rows = {
        name: _plain(connection, f"newest_{name}" if name in DERIVED else name) for name in (*QUERY_NAMES, "captions")
    }
    for name in MANIFEST:
        with dataset.open(f"manifest/{name}.parquet") as stream:
            connection.register("manifest", pyarrow.parquet.read_table(stream))
        rows[f"manifest/{name}"] = _plain(connection, "manifest")
    return {name: found for name, found in rows.items() if found}


def _plain(connection: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[Any, ...]]:
    columns = [name for name, *_ in connection.execute(f"describe {relation}").fetchall() if name not in OF_RUNS]
    values = [rf"regexp_extract({c}, '([^/?]*)(\?.*)?$', 1) as {c}" if c in PATHS else c for c in columns]
    return sorted(connection.execute(f"select {', '.join(values)} from {relation}").fetchall(), key=repr)
