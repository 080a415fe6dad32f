"""Freeze a selection of captioned clips under a name.

The selection is a SQL condition over the view `trainable`: kept clips with an accepted caption. With --balance it is a
draw from those, in which large clusters of look-alikes count for less; clips and seed determine it.
"""

from __future__ import annotations

import argparse
import json
import sys

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--where", default="true", metavar="SQL", help='for example "motion_px_s > 2 and width >= 640"')
    parser.add_argument(
        "--balance", type=int, metavar="N", help="draw N clips, one of a cluster of n with weight 1/sqrt(n)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    if args.balance is not None and args.balance < 1:
        raise UsageError(f"--balance {args.balance}: must be 1 or more")
    balance = None if args.balance is None else releases.Balance(args.balance, args.seed)
    release, is_new = releases.freeze(Dataset(args.dataset).require(), args.name, args.where, balance)
    seconds = sum(release.clips["end_us"].to_pylist()) - sum(release.clips["start_us"].to_pylist())
    summary = {
        "release": release.name,
        "hash": release.content_hash,
        "clips": release.clips.num_rows,
        "seconds": round(seconds * 1e-6, 1),
        "new": is_new,
    }
    if args.json:
        json.dump(summary, sys.stdout)
        print()
    else:
        state = "frozen" if is_new else "unchanged"
        print(
            f"release {release.name} {state}: {summary['clips']} clips, {summary['seconds']} s, {release.content_hash}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(run_job("release"))
