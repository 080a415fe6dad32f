"""A data set as it was at some time, as far as that is known: nothing in it is ever overwritten.

Decisions and measures have a column for their time. Other rows were added when their part file was written, which the
file system records as long as the data set has not been copied. A release has its time in the file, which shows whether
the data set has been copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow.compute as pc

from pipeline.release.releases import Release
from pipeline.store.dataset import Dataset
from pipeline.store.views import QUERY_NAMES, connect, register
from schemas import CAPTION_DECISIONS, DECISIONS, MEASURES, RELEASES
from schemas.columns import Table

COPY_SLACK_US = 60_000_000
"""A release whose file is older or newer than its contents say, by more than this, was copied here; the clocks of
machines and stores differ by less."""
TIME_COLUMNS = {table.folder: "decided_us" for table in (DECISIONS, CAPTION_DECISIONS)}
TIME_COLUMNS |= {table.folder: "measured_us" for table in MEASURES.values()}


@dataclass(frozen=True)
class Past:
    """The tables and views of a data set without the rows that were added later.

    If not `is_dated`, tables without a time column are as they are now.
    """

    connection: duckdb.DuckDBPyConnection
    is_dated: bool


def when_frozen(dataset: Dataset, release: Release) -> Past | None:
    """The data set from which a release was made; None if the release does not record when that was."""
    if release.frozen_us is None:
        return None
    file_times_us = dataset.part_times_us(RELEASES.folder)
    written_us = next(time for path, time in file_times_us.items() if path.endswith(f"/{release.name}.parquet"))
    is_dated = abs(written_us - release.frozen_us) <= COPY_SLACK_US
    connection = connect(dataset)
    for name, table in QUERY_NAMES.items():
        if table.folder in TIME_COLUMNS:
            until = pc.field(TIME_COLUMNS[table.folder]) <= release.frozen_us
            register(connection, name, table, dataset.scanner(table).to_table(filter=until))
        elif is_dated:
            parts = _parts_until(dataset, table, release.frozen_us)
            register(connection, name, table, dataset.scanner(table, parts))
    return Past(connection, is_dated)


def _parts_until(dataset: Dataset, table: Table, time_us: int) -> list[str]:
    return [path for path, written_us in dataset.part_times_us(table.folder).items() if written_us <= time_us]
