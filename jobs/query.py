"""`reelmill query`: SQL over the tables and views of a data set."""

from __future__ import annotations

import sys
from typing import Annotated

import duckdb
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from jobs.cli import run_job
from jobs.console.options import AtLeast0, DatasetLocation, Json
from jobs.console.refusal import one_line
from jobs.console.summary import print_json
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas.errors import UsageError, is_outage


def query(
    dataset: DatasetLocation,
    sql: Annotated[str, Parameter(show_default=True)] = "from funnel",
    /,
    *,
    limit: Annotated[AtLeast0, Parameter(metavar="N")] = 100,
    json: Json = False,
) -> None:
    """Run SQL over a data set with DuckDB.

    Tables: videos, clips, captions, embeddings, latents, text, release_NAME; `_raw` after the first three gives the
    rows as first written. Views: kept, rejects, reject_reasons, video_failures, trainable, funnel.

    Args:
        sql: One statement.
        limit: Print at most N rows.
    """
    connection = connect(Dataset(dataset).require())
    try:
        result = connection.execute(sql)
        names = [column[0] for column in result.description or ()]
        rows = result.fetchmany(limit + 1) if names else []
    except duckdb.Error as error:
        if is_outage(error):
            raise
        raise UsageError(f"SQL: {one_line(error)}") from None
    if json:
        print_json([dict(zip(names, row, strict=True)) for row in rows[:limit]])
        return
    table = Table(*names)
    for row in rows[:limit]:
        table.add_row(*("" if value is None else str(value) for value in row))
    console = Console(highlight=False)
    console.print(table)
    if len(rows) > limit:
        console.print(f"first {limit} rows; --limit shows more")


if __name__ == "__main__":
    sys.exit(run_job("query"))
