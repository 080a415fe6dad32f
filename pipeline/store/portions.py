"""Queries over all clips in memory that does not grow with them: they are asked of some clips at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import duckdb

from pipeline.store.dataset import Dataset
from pipeline.store.views import connect, see_rows

MAX_MEMORY = "1GiB"
"""Of DuckDB's own; what it does not hold lies in temporary files. A choice."""
CLIPS_AT_A_TIME = 500_000
"""A choice: joins of all measures of so many clips take half of `MAX_MEMORY`."""


def bounded(dataset: Dataset, max_memory: str = MAX_MEMORY) -> duckdb.DuckDBPyConnection:
    """A connection to a data set with a limit on DuckDB's own memory, for what asks of some clips at a time."""
    connection = connect(dataset)
    connection.execute(f"set memory_limit = '{max_memory}'; set preserve_insertion_order = false")
    return connection


def gather(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    """Make a temporary table of a query's rows, each of which follows from the rows of one clip, and from videos.

    The query is asked once for each portion of the clips, by a hash of their ids, with the rows of other clips hidden.

    Args:
        connection: sees all rows of the data set, and does so afterwards.
        query: over views of clips; no window and no aggregate goes over several of them.
    """
    connection.execute(f"drop table if exists {name}")
    for number in portions(connection):
        connection.execute(f"insert into {name} {query}" if number else f"create temp table {name} as {query}")


def portions(connection: duckdb.DuckDBPyConnection) -> Iterator[int]:
    """The number of each portion of the clips, by a hash of their ids, while the rows of other clips are hidden.

    Args:
        connection: sees all rows of the data set, and does so afterwards.
    """
    ((num_rows,),) = connection.execute("select count(*) from clips_raw").fetchall()
    num_portions = max(math.ceil(num_rows / CLIPS_AT_A_TIME), 1)
    if num_portions == 1:
        yield 0
        return
    try:
        for number in range(num_portions):
            see_rows(connection, of_clips=f"hash(clip_id) % {num_portions} = {number}")
            yield number
    finally:
        see_rows(connection)
