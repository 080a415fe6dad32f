"""Show how many videos and clips each step keeps, and what each rule takes, alone and with others."""

from __future__ import annotations

import argparse
import json
import sys

from jobs.arguments import add_json_argument
from jobs.cli import run_job
from jobs.summary import print_funnel
from pipeline.dataset import Dataset
from pipeline.query import funnel, reject_reasons


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    dataset = Dataset(args.dataset).require()
    if args.json:
        reasons = {reason: {"clips": clips, "only_reason": only} for reason, clips, only in reject_reasons(dataset)}
        json.dump({"funnel": funnel(dataset), "reasons": reasons}, sys.stdout)
        print()
    else:
        print_funnel(dataset)
    return 0


if __name__ == "__main__":
    sys.exit(run_job("funnel"))
