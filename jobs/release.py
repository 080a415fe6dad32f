"""Freeze a selection of captioned clips under a name.

The selection is a SQL condition over the view `trainable`: kept clips with an accepted caption.
"""

from __future__ import annotations

import argparse
import json
import sys

from jobs.arguments import add_json_argument
from jobs.cli import run_job
from pipeline import releases
from pipeline.dataset import Dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--where", default="true", metavar="SQL", help='for example "motion_px_s > 2 and width >= 640"')
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    release, is_new = releases.freeze(Dataset(args.dataset).require(), args.name, args.where)
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
