"""Judge the clips and captions of a data set again, by other rules, from the scores in its tables.

No video is touched and no model asked. New decisions are written beside the old ones, and the newest stands. Clips that
are let in but lack a measure that a rule needs become `pending`: `reelmill curate` takes what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument, add_what_if_arguments, recipes_from
from jobs.console.summary import print_funnel
from jobs.steps.records import new_run_id, write_run
from pipeline.rules.decisions import write_decisions
from pipeline.rules.effects import judge_dataset
from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel, write_portable_views


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    add_what_if_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    dataset = Dataset(args.dataset).require()
    _, recipe = recipes_from(args, dataset)
    with dataset.writing("rejudge"):
        start_s = time.perf_counter()
        verdicts = judge_dataset(dataset, recipe)
        num_changed = write_decisions(dataset, verdicts.clips, recipe)
        num_captions = write_decisions(dataset, verdicts.captions, recipe)
        write_portable_views(dataset)
        facts = {"decisions": num_changed, "caption_decisions": num_captions}
        facts |= {"seconds": time.perf_counter() - start_s, "funnel": funnel(dataset)}
        write_run(dataset, new_run_id("rejudge"), "rejudge", recipe, state="done", facts=facts)
    if args.json:
        json.dump({"dataset": dataset.location} | facts, sys.stdout)
        print()
    else:
        print(f"{num_changed} decisions on clips changed, {num_captions} on captions")
        print_funnel(dataset)
    return 0


if __name__ == "__main__":
    sys.exit(run_job("rejudge"))
