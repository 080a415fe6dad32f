"""Plans: what a graph is to do, as Parquet in the data set that its tasks read a piece of each.

The driver knows only how many pieces there are, so its memory does not grow with the data set. All rows of one video
stand together in one piece.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby, islice, pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from pipeline.store.dataset import PLANS, ROWS_AT_A_TIME, TEMPORARY, Dataset

MIN_PIECES, MAX_VIDEOS = 1000, 128
"""A piece holds more videos than one only where there are more videos than the first; it never holds more than the
second, so that what is read at a time stays small."""
PIECES_A_FILE = 100
"""Row groups of a file: to read one of them, a task reads the file's list of all."""

Row = dict[str, Any]


def as_it_is(row: Row) -> Row:
    return row


@dataclass(frozen=True)
class Plan:
    """Rows in the order of their videos and of time, in numbered pieces."""

    dataset: Dataset
    name: str
    num_rows: int
    num_videos: int
    num_pieces: int
    decode: Callable[[Row], Row] = as_it_is
    """From a row of the file to one of the plan."""

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[Row]:
        return (row for piece in range(self.num_pieces) for of_video in self.videos(piece) for row in of_video)

    def videos(self, piece: int) -> Iterator[list[Row]]:
        """The rows of each video of a piece."""
        path = f"{self.name}-{piece // PIECES_A_FILE}.parquet"
        with self.dataset.open(path) as stream:
            rows = pyarrow.parquet.ParquetFile(stream).read_row_group(piece % PIECES_A_FILE).to_pylist()
        for _, of_video in groupby(rows, key=lambda row: row["uri"]):
            yield [self.decode(row) for row in of_video]

    def delete(self) -> None:
        """Once it is carried out. What a store does not delete now, the next run clears."""
        for number in range(math.ceil(self.num_pieces / PIECES_A_FILE)):
            with suppress(OSError):
                self.dataset.delete(f"{self.name}-{number}.parquet")


def write_plan(
    dataset: Dataset,
    connection: duckdb.DuckDBPyConnection,
    query: str,
    *,
    order: str,
    decode: Callable[[Row], Row] = as_it_is,
) -> Plan:
    """Write what a query finds; nothing if it finds nothing.

    Args:
        query: with the column `uri`, by which rows belong together.
        order: of the rows of one video.
    """
    name = f"{PLANS}/{TEMPORARY}{uuid.uuid4().hex[:16]}"
    connection.execute(f"create or replace temp table planned as {query}")
    ((num_rows, num_videos),) = connection.execute("select count(*), count(distinct uri) from planned").fetchall()
    videos_a_piece = min(math.ceil(num_videos / MIN_PIECES), MAX_VIDEOS)
    schema = connection.sql("from planned limit 0").to_arrow_table().schema
    reader = connection.sql(f"from planned order by uri, {order}").to_arrow_reader(ROWS_AT_A_TIME)
    pieces, num_pieces = _pieces(reader, max(videos_a_piece, 1)), 0
    for first in pieces:
        of_file = chain([first], islice(pieces, PIECES_A_FILE - 1))
        num_pieces += dataset.write_row_groups(f"{name}-{num_pieces // PIECES_A_FILE}.parquet", schema, of_file)
    connection.execute("drop table planned")
    return Plan(dataset, name, num_rows, num_videos, num_pieces, decode)


def _pieces(batches: pa.RecordBatchReader, videos_a_piece: int) -> Iterator[pa.Table]:
    """Tables of that many videos each, but the last one, from rows that are sorted by video."""
    rest = batches.schema.empty_table()
    for batch in batches:
        rest = pa.concat_tables([rest, pa.Table.from_batches([batch])])
        starts = _starts(rest["uri"])[::videos_a_piece]
        for start, end in pairwise(starts):
            yield rest.slice(start, end - start)
        rest = rest.slice(starts[-1]) if starts else rest
    if rest.num_rows:
        yield rest


def _starts(values: pa.ChunkedArray) -> list[int]:
    """Places of the values that differ from the one before, the first among them."""
    if len(values) < 2:
        return [0] * len(values)
    codes = np.asarray(values.combine_chunks().dictionary_encode().indices)
    return [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist()]
