"""What a command has done: the funnel as a person reads it, or JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.store.dataset import Dataset
from pipeline.store.views import connect


def print_json(summary: Any) -> None:
    """Print one line of JSON; what JSON does not know becomes text."""
    json.dump(summary, sys.stdout, default=str)
    print()


def print_funnel(dataset: Dataset, *, reasons: bool = True) -> None:
    """Print what each step keeps, why videos failed, and how many clips each reason takes, alone and with others."""
    connection = connect(dataset)
    console = Console(highlight=False)
    table = Table("stage", "rows", title="funnel", title_justify="left")
    table.columns[1].justify = "right"
    for stage, rows in connection.execute("select stage, rows from funnel").fetchall():
        table.add_row(stage, str(rows))
    console.print(table)
    failures = connection.execute("select reason, videos from video_failures").fetchall()
    if failures:
        console.print("failed videos: " + ", ".join(f"{reason} {count}" for reason, count in failures))
    rejects = connection.execute("select reason, clips, only_reason from reject_reasons").fetchall()
    if reasons and rejects:
        table = Table("reason", "clips", "only reason", title="rejected clips", title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for reason, clips, only in rejects:
            table.add_row(reason, str(clips), str(only))
        console.print(table)
