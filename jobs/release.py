"""`reelmill release`: a frozen, hashed selection of captioned clips."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.options import AtLeast1, DatasetLocation, Json
from jobs.console.summary import print_json
from pipeline.release import releases
from pipeline.store.dataset import Dataset


def release(
    dataset: DatasetLocation,
    name: str,
    /,
    *,
    where: Annotated[str, Parameter(metavar="SQL")] = "true",
    balance: Annotated[AtLeast1 | None, Parameter(metavar="N")] = None,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Freeze a selection of captioned clips under a name.

    The selection is a SQL condition over the view `trainable`: kept clips with an accepted caption. With --balance it
    is a draw from those, in which large clusters of look-alikes count for less; clips and seed determine it.

    Args:
        name: Letters, digits, '.', '_' and '-'.
        where: Condition, for example "motion_px_s > 2 and width >= 640".
        balance: Draw N clips, one of a cluster of n with weight 1/sqrt(n).
        seed: Seed of the draw.
    """
    draw = None if balance is None else releases.Balance(balance, seed)
    tables = Dataset(dataset).require()
    with tables.writing("release"):
        frozen, is_new = releases.freeze(tables, name, where, draw)
    seconds = sum(frozen.clips["end_us"].to_pylist()) - sum(frozen.clips["start_us"].to_pylist())
    summary = {
        "release": frozen.name,
        "hash": frozen.content_hash,
        "clips": frozen.clips.num_rows,
        "seconds": round(seconds * 1e-6, 1),
        "new": is_new,
    }
    if json:
        print_json(summary)
        return
    state = "frozen" if is_new else "unchanged"
    print(f"release {frozen.name} {state}: {summary['clips']} clips, {summary['seconds']} s, {frozen.content_hash}")


if __name__ == "__main__":
    sys.exit(run_job("release"))
