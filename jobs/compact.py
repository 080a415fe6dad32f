"""`reelmill compact`: the many small part files of a data set folded into few large ones."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import rich.table
from cyclopts import Parameter
from rich.console import Console

from jobs.cli import run_job
from jobs.console.options import DatasetLocation, Json
from jobs.console.summary import print_json
from pipeline.release import releases
from pipeline.store import compaction
from pipeline.store.compaction import Folded
from pipeline.store.dataset import Dataset

MIB = 1 << 20


def compact(
    dataset: DatasetLocation,
    /,
    *,
    dry_run: Annotated[bool, Parameter(show_default=False)] = False,
    json: Json = False,
) -> None:
    """Fold the many small part files of a data set into few large ones, and leave out rows that nothing shows any more.

    Tables are only added to, so after many runs they are thousands of small files with many rows that newer ones
    replace. Rows that are the newest of their kind stay, and so do those that were when a release was frozen: every
    view, and the data set as it was at each release, shows the same afterwards. Latents and texts stay too, whether a
    release needs them or not. Only the history between releases is gone.

    New files are written before old ones are deleted, so there must be room for both; killed at any time, it leaves a
    data set that shows the same, and the next one finishes. A table that is in few large files already is left alone.

    Run it while nothing else uses the data set. Other jobs that write to it are kept out. Those that read, such as
    query, report and train, are not: one that began before may fail as a file that it was about to open is gone.
    Nothing is lost by that; run it again.

    Args:
        dry_run: Write nothing; print what would become of each table, with files and MiB as estimates.
    """
    tables = Dataset(dataset).require()
    start_s = time.perf_counter()
    with nullcontext() if dry_run else tables.writing("compact"):
        if not dry_run:
            tables.clear_temporaries()
        folded = list(compaction.compact(tables, releases.frozen_times(tables), dry_run=dry_run))
    if json:
        seconds = time.perf_counter() - start_s
        summary = {"dataset": tables.location, "dry_run": dry_run, "seconds": seconds}
        print_json(summary | {"tables": [asdict(table) for table in folded]})
    elif folded:
        _print(folded, "what would be folded" if dry_run else "folded")
    else:
        print("every table is in few large files already")


def _print(folded: list[Folded], title: str) -> None:
    table = rich.table.Table("table", "files", "MiB", "rows", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for of_table in folded:
        old, new = of_table.before, of_table.after
        table.add_row(
            of_table.table,
            f"{old.num_files} -> {new.num_files}",
            f"{old.num_bytes / MIB:.1f} -> {new.num_bytes / MIB:.1f}",
            f"{old.num_rows} -> {new.num_rows}",
        )
    Console(highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(run_job("compact"))
