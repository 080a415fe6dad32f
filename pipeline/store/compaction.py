"""Compaction: the part files of each table folded into few large ones, without the rows that nothing shows any more.

Which rows those are says `superseded.py`; every view, and the data set as it was at each release, shows the same rows
before and after. A part is rewritten if it is small or has such rows; others stay as they are, so that a second
compaction has nothing to do. Rows stream from the old parts to the new ones, in the order in which parts were written,
so memory grows neither with a table nor with its rows. They are copied as they are: what earlier versions wrote in
columns that are gone, views still read.

New parts are written first, then old ones are deleted. Killed at any time it leaves all rows that count, some of them
twice. Readers take the newest row of a key, so they see each once, and the next compaction folds them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.store.dataset import ARRAYS_A_GROUP, Counted, Dataset, holds_arrays, new_part
from pipeline.store.superseded import PartRows, Superseded
from pipeline.store.views import QUERY_NAMES
from schemas.columns import Table

PART_BYTES = 256 << 20
"""A part that is written ends at this size; one of half of it is not small."""
ROWS_A_GROUP = 122_880
"""DuckDB's own row groups have as many: it gives each to a thread."""
GROUP_BYTES, ARRAY_GROUP_BYTES = 32 << 20, 4 << 20
"""Of a row group in memory, at most. Latents and embedded texts are read one by one, wherever they are, and with each
its whole row group: 4 MiB take an object store about as long to find as to send."""
BATCHES_A_GROUP = 4


class CompactionError(RuntimeError):
    """The rows that were written are not those that were to be kept; old parts have not been deleted."""


@dataclass(frozen=True)
class Size:
    """How large a table is on disk."""

    num_files: int
    num_bytes: int
    num_rows: int


@dataclass(frozen=True)
class Folded:
    """What compaction has made of a table, or would make of it."""

    table: str
    """Its folder."""
    before: Size
    after: Size
    """If nothing was written, files and bytes are estimates: as if all rows of a part took the same space."""


@dataclass(frozen=True)
class Part:
    """A part file, its size, and what its rows are."""

    number: int
    path: str
    num_bytes: int
    rows: PartRows

    @property
    def num_kept(self) -> int:
        return self.rows.num_rows - self.rows.num_superseded

    @property
    def is_stale(self) -> bool:
        return self.rows.num_superseded > 0


def compact(
    dataset: Dataset,
    frozen_us: Sequence[int],
    *,
    dry_run: bool = False,
    part_bytes: int = PART_BYTES,
    group_bytes: int | None = None,
) -> Iterator[Folded]:
    """Fold the tables of a data set one after another; yields those that change, each once it is done.

    The caller holds the lock of the data set.

    Args:
        frozen_us: when its releases were frozen, Unix time.
        dry_run: write nothing.
        part_bytes: the size at which a part ends, on disk.
        group_bytes: the size at which a row group ends, in memory; by default what suits the table.
    Raises:
        CompactionError: a part has changed meanwhile.
    """
    for name, table in QUERY_NAMES.items():
        for of_folder, sizes in dataset.parts(table):
            paths = sorted(sizes, key=lambda path: (-sizes[path], path))  # equal rows are kept where they are many
            superseded = Superseded(dataset, name, of_folder, paths, frozen_us)
            parts = [
                Part(number, path, sizes[path], rows)
                for number, (path, rows) in enumerate(zip(paths, superseded.parts, strict=True))
            ]
            old = parts_to_fold(parts, part_bytes)
            if not old:
                continue
            if dry_run:
                after = _expected(parts, old, part_bytes)
            else:
                _fold(dataset, of_folder, superseded, old, part_bytes, group_bytes or _group_bytes(table))
                after = _size_of(dataset, of_folder, sum(part.num_kept for part in parts))
            before = Size(len(parts), sum(sizes.values()), sum(part.rows.num_rows for part in parts))
            yield Folded(of_folder.folder, before, after)


def parts_to_fold(parts: Sequence[Part], part_bytes: int) -> list[Part]:
    """The parts that are to be rewritten, in the order in which they were written; a single small one is as it should
    be, and so is a table without rows."""
    stale = [part for part in parts if part.is_stale]
    small = [part for part in parts if not part.is_stale and part.num_bytes < part_bytes // 2]
    old = [*stale, *small] if stale or len(small) > 1 else []
    if not any(part.rows.num_rows for part in parts):
        return []
    return sorted(old, key=lambda part: (part.rows.first_us, part.number))


def _fold(
    dataset: Dataset, table: Table, superseded: Superseded, old: Sequence[Part], part_bytes: int, group_bytes: int
) -> None:
    # Parts that are older than a column lack it, also if it may not be null now.
    fields = table.stored_schema if any(part.rows.has_former_columns for part in old) else table.schema
    schema = pa.schema([field.with_nullable(True) for field in fields], table.schema.metadata)
    group_rows = ARRAYS_A_GROUP if holds_arrays(table.schema) else ROWS_A_GROUP
    of_batch = group_bytes // BATCHES_A_GROUP, group_rows // BATCHES_A_GROUP
    rows = Counted(_kept_rows(dataset, table, schema.names, superseded, old, *of_batch))
    groups = _row_groups(rows, group_bytes, group_rows)
    for first in groups:
        dataset.write_row_groups(new_part(table), schema, itertools.chain([first], groups), part_bytes)
    expected = sum(part.num_kept for part in old)
    if rows.num_rows != expected:
        raise CompactionError(
            f"table {table.folder}: {rows.num_rows} rows of {expected} to keep; old parts are not deleted"
        )
    dataset.delete_files(part.path for part in old)


def _kept_rows(
    dataset: Dataset,
    table: Table,
    columns: Sequence[str],
    superseded: Superseded,
    old: Sequence[Part],
    batch_bytes: int,
    batch_rows: int,
) -> Iterator[pa.RecordBatch]:
    """The rows that are not superseded, a few at a time."""
    read = {part.path: part for part in old if part.num_kept}
    if not read:
        return
    num_bytes = sum(part.num_bytes for part in read.values())
    num_rows = sum(part.rows.num_rows for part in read.values())
    at_a_time = min(max(batch_bytes * num_rows // num_bytes, 1), batch_rows)
    scanner = dataset.scanner(table, list(read)).scanner(
        columns=list(columns),
        batch_size=at_a_time,
        batch_readahead=BATCHES_A_GROUP,
        fragment_readahead=1,
    )
    path, first, places = "", 0, np.zeros(0, np.int64)
    for tagged in scanner.scan_batches():
        batch = tagged.record_batch
        if tagged.fragment.path != path:
            path, first = tagged.fragment.path, 0
            places = superseded.places(read[path].number)
        is_kept = np.ones(batch.num_rows, bool)
        start, end = np.searchsorted(places, [first, first + batch.num_rows])
        is_kept[places[start:end] - first] = False
        first += batch.num_rows
        yield batch.filter(pa.array(is_kept))


def _row_groups(batches: Iterable[pa.RecordBatch], group_bytes: int, group_rows: int) -> Iterator[pa.Table]:
    """Batches joined to row groups."""
    waiting: list[pa.RecordBatch] = []
    num_bytes = num_rows = 0
    for batch in batches:
        if batch.num_rows:
            waiting.append(batch)
            num_bytes, num_rows = num_bytes + batch.nbytes, num_rows + batch.num_rows
        if num_bytes >= group_bytes or num_rows >= group_rows:
            yield pa.Table.from_batches(waiting)
            waiting, num_bytes, num_rows = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _group_bytes(table: Table) -> int:
    return ARRAY_GROUP_BYTES if holds_arrays(table.schema) else GROUP_BYTES


def _size_of(dataset: Dataset, table: Table, num_rows: int) -> Size:
    sizes = [size for of_folder, sizes in dataset.parts(table) if of_folder == table for size in sizes.values()]
    return Size(len(sizes), sum(sizes), num_rows)


def _expected(parts: Sequence[Part], old: Sequence[Part], part_bytes: int) -> Size:
    staying = [part for part in parts if part not in old]
    folded = sum(part.num_bytes * part.num_kept // max(part.rows.num_rows, 1) for part in old)
    num_files = len(staying) + math.ceil(folded / part_bytes)
    return Size(num_files, sum(part.num_bytes for part in staying) + folded, sum(part.num_kept for part in parts))
