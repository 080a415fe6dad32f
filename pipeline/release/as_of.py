"""A data set as it was at some time, as far as that is known: every row says when it was written.

Rows of data sets that were made before rows said so count as old.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.release.releases import Release
from pipeline.store.dataset import Dataset
from pipeline.store.views import QUERY_NAMES, connect, keep_rows_until


@dataclass(frozen=True)
class Past:
    """The tables and views of a data set without the rows that were added later.

    If not `is_dated`, there are rows that do not say when they were written, and they are among these.
    """

    connection: duckdb.DuckDBPyConnection
    is_dated: bool


def when_frozen(dataset: Dataset, release: Release) -> Past | None:
    """The data set from which a release was made; None if the release does not record when that was."""
    if release.frozen_us is None:
        return None
    connection = connect(dataset)
    keep_rows_until(connection, release.frozen_us)
    undated = (f"select written_us from {name}_raw where written_us is null" for name in QUERY_NAMES)
    num_undated = connection.sql(f"select count(*) from ({' union all '.join(undated)})").fetchall()[0][0]
    return Past(connection, num_undated == 0)
