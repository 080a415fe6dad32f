"""Write new captions for the kept clips of a data set; nothing else is done, and old captions stay beside them.

The last run's recipe holds, but for what --recipe or --set say; a caption that is there already, by the same captioner
with the same settings, is not written again. Captions that are there are judged by the caption rules of now.
"""

from __future__ import annotations

import argparse
import json
import sys

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument, add_what_if_arguments, recipes_from
from jobs.steps.captioning import require_captioner, tell_of_builtin
from jobs.steps.curation import Curation
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    add_what_if_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    dataset = Dataset(args.dataset).require()
    _, recipe = recipes_from(args, dataset)
    if recipe.caption.backend == "none":
        raise UsageError(f"recipe {recipe.name}: caption.backend = 'none': there is nobody to write captions")
    require_captioner(recipe)
    with dataset.writing("recaption"):
        curation = Curation(dataset, recipe, lambda: tell_of_builtin(recipe), job="recaption")
        num_clips, num_judged = curation.recaption()
    totals = dict(
        connect(dataset).sql("select status, count(*) from captions group by status order by status").fetchall()
    )
    summary = {"dataset": dataset.location, "captioned": num_clips, "judged_otherwise": num_judged}
    summary |= {"captions": totals, "stages": curation.stages}
    if args.json:
        json.dump(summary, sys.stdout)
        print()
    else:
        in_all = ", ".join(f"{n} {s}" for s, n in totals.items())
        print(f"{num_clips} clips captioned, {num_judged} captions judged otherwise; captions in all: {in_all}")
    return 0


if __name__ == "__main__":
    sys.exit(run_job("recaption"))
