"""Random histories of a data set: every table in several parts, with rows that replace each other, and releases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.release.as_of import when_frozen
from pipeline.release.releases import METADATA_KEY, names, read
from pipeline.store.dataset import Dataset, to_parquet
from pipeline.store.views import DERIVED, QUERY_NAMES, connect
from schemas import LATENTS, MEASURES, RELEASES, TEXT
from schemas.columns import Table

VALUES: dict[str, Sequence[Any]] = {
    "clip_id": ["c0", "c1", "c2"],
    "match_id": [None, "c0", "c1"],
    "video_id": ["v0", "v1", None],
    "uri": ["/0.mp4", "/1.mp4"],
    "duplicate_of": [None, None, "/0.mp4"],
    "split": ["s", "s", "s", "t", None],
    "captioner": ["cap0", "cap1"],
    "encoder": ["e0", "e1"],
    "similarity_encoder": ["e0", "e1"],
    "transform": ["t0", "t1"],
    "text_id": ["x0", "x1"],
    "measure": ["m0", "m1"],
    "failure": [None, "gone", "slow"],
    "transient": [None, False, True],
    "num_failures": [None, 1, 2],
    "rules_fingerprint": ["r0", "r1"],
    "kind": ["content", "near"],
    "group_size": [0, 2],
    "grouping": ["g0", "g1"],
    "hashed": ["m0", "m1"],
    "content_box": [None, [0, 0, 1, 1], [0, 0, 2, 2]],
    "shown_box": [None, [0, 0, 1, 1], [0, 0, 2, 2]],
    "caption_us": [None, 5, 10],
    "given": ["", "hints"],
    "file_bytes": [100, 200],
    "modified_us": [1, 2],
    "source": ["{}", '{"title": "a"}'],
    "measured": ["{}", '{"motion": "m0"}'],
}
STATUSES = {
    "videos": ["probed", "failed"],
    "caption_decisions": ["ok", "rejected"],
    "decisions": ["kept", "rejected", "failed", None],
    "latents": ["ok", "failed"],
}
MEASURED = ("measures_letterbox", "measures_embedding", "measures_safety")
TABLES = {name: table for name, table in QUERY_NAMES.items() if table not in MEASURES.values() or name in MEASURED}
"""Of the measures some of both kinds."""
ROWS_A_PART, NUM_PARTS, END_US = 12, 4, 1000
FROZEN_US = (300, 600)


def write_history(dataset: Dataset, seed: int, *, num_undated: int = 0) -> None:
    """Rows of all tables, written at times up to `END_US` of which no two of a table are equal, and two releases.

    Args:
        num_undated: rows of each table that do not say when they were written.
    """
    rng = np.random.default_rng(seed)
    for name, table in TABLES.items():
        times = rng.permutation(END_US)[: ROWS_A_PART * NUM_PARTS].tolist()
        times[:num_undated] = [None] * num_undated
        for part in range(NUM_PARTS):
            rows = [
                _row(rng, name, table, f"r{number:03}", times[number])
                for number in range(part * ROWS_A_PART, (part + 1) * ROWS_A_PART)
            ]
            write_rows(dataset, table, f"{seed}-{part}", rows)
    for number, frozen_us in enumerate(FROZEN_US):
        write_release(dataset, f"release{number}", frozen_us)


def write_rows(dataset: Dataset, table: Table, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """A part of a table, or one for each encoder, of rows that bring their stamps."""
    encoders = {row["encoder"] for row in rows} if table in (LATENTS, TEXT) else {None}
    for encoder in encoders:
        own = table if encoder is None else table.within(encoder)
        of_encoder = [row for row in rows if encoder is None or row["encoder"] == encoder]
        encoded = pa.Table.from_pylist(of_encoder, schema=table.schema)
        dataset.write_bytes(f"{own.folder}/part-{name}.parquet", to_parquet(encoded))


def write_release(dataset: Dataset, name: str, frozen_us: int) -> None:
    facts = json.dumps({"name": name, "hash": "", "where": "true", "frozen_us": frozen_us}).encode()
    rows = RELEASES.encode([]).replace_schema_metadata({METADATA_KEY: facts})
    dataset.write_bytes(f"releases/{name}.parquet", to_parquet(rows))


def _row(rng: np.random.Generator, name: str, table: Table, run_id: str, written_us: int | None) -> dict[str, Any]:
    values = VALUES | {"status": STATUSES.get(name, [])}
    row = {field.name: _value(rng, field, values.get(field.name)) for field in table.schema}
    return row | {"run_id": run_id, "written_us": written_us}


def _value(rng: np.random.Generator, field: pa.Field, values: Sequence[Any] | None) -> Any:
    if values is not None:
        allowed = [value for value in values if field.nullable or value is not None]
        return allowed[rng.integers(len(allowed))]
    number = int(rng.integers(100))
    if pa.types.is_string(field.type):
        return str(number)
    if pa.types.is_boolean(field.type):
        return number % 2 == 0
    if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
        return bytes([number])
    if pa.types.is_fixed_size_list(field.type):
        return [number] * field.type.list_size
    if pa.types.is_list(field.type):
        return [] if pa.types.is_string(field.type.value_type) else [number]
    return number


def shown(dataset: Dataset, views: Sequence[str] = ()) -> dict[tuple[str, str], list[str]]:
    """The rows of views, now and as it was at each release, each as text, sorted.

    Args:
        views: beside those that read the tables themselves; the others follow from these.
    """
    asked = [*_newest_rows(), "scored", *views]
    return {
        (time, view): sorted(map(str, connection.execute(f"select * from {view}").fetchall()))
        for time, connection in _times(dataset)
        for view in asked
    }


def _newest_rows() -> list[str]:
    return [f"newest_{name}" if name in DERIVED else name for name in TABLES]


def _times(dataset: Dataset) -> Iterator[tuple[str, duckdb.DuckDBPyConnection]]:
    yield "now", connect(dataset)
    for name in names(dataset):
        past = when_frozen(dataset, read(dataset, name))
        assert past is not None
        yield f"{name}, {'dated' if past.is_dated else 'not dated'}", past.connection
