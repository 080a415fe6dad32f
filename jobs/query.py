"""Run SQL over a data set with DuckDB.

Tables: videos, clips, captions, embeddings, latents, text, release_NAME; `_raw` after the first three gives the rows as
first written. Views: kept, rejects, reject_reasons, video_failures, trainable, funnel. Without SQL, the funnel.
"""

from __future__ import annotations

import argparse
import json
import sys

import duckdb
from rich.console import Console
from rich.table import Table

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("sql", nargs="?", default="from funnel", metavar="SQL")
    parser.add_argument("--limit", type=int, default=100, help="rows printed at most (default: %(default)s)")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(Dataset(args.dataset).require())
    try:
        result = connection.execute(args.sql)
        names = [column[0] for column in result.description or ()]
        rows = result.fetchmany(args.limit + 1) if names else []
    except duckdb.Error as error:
        raise UsageError(f"SQL: {' '.join(str(error).split())}") from None
    if args.json:
        json.dump([dict(zip(names, row, strict=True)) for row in rows[: args.limit]], sys.stdout, default=str)
        print()
        return 0
    table = Table(*names)
    for row in rows[: args.limit]:
        table.add_row(*("" if value is None else str(value) for value in row))
    console = Console(highlight=False)
    console.print(table)
    if len(rows) > args.limit:
        console.print(f"first {args.limit} rows; --limit shows more")
    return 0


if __name__ == "__main__":
    sys.exit(run_job("query"))
