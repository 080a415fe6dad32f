"""`reelmill rejudge`: new decisions from the scores that are stored."""

from __future__ import annotations

import sys
import time

from jobs.cli import run_job
from jobs.console.options import NO_CHANGES, DatasetLocation, Json, RecipeOptions
from jobs.console.summary import print_funnel, print_json
from jobs.steps.records import new_run_id, write_run
from pipeline.rules.decisions import write_decisions
from pipeline.rules.effects import judge_dataset
from pipeline.store.dataset import Dataset
from pipeline.store.manifest import write_manifest
from pipeline.store.portions import bounded
from pipeline.store.views import funnel, write_portable_views


def rejudge(dataset: DatasetLocation, /, *, options: RecipeOptions = NO_CHANGES, json: Json = False) -> None:
    """Judge the clips and captions of a data set again by other rules, from the scores in its tables.

    No video is read and no model is run. New decisions are written beside the old ones, and the newest holds. Clips
    that are let in but lack a measure that a rule needs become `pending`: `reelmill curate` takes what is missing.
    """
    tables = Dataset(dataset).require()
    recipe = options.over(tables)
    with tables.writing("rejudge"):
        start_s = time.perf_counter()
        run_id = new_run_id("rejudge")
        write_run(tables, run_id, "rejudge", recipe, state="running")
        verdicts = judge_dataset(bounded(tables), recipe)
        num_changed = write_decisions(tables, verdicts.clips, recipe)
        num_captions = write_decisions(tables, verdicts.captions, recipe)
        write_portable_views(tables)
        write_manifest(tables)
        facts = {"decisions": num_changed, "caption_decisions": num_captions}
        facts |= {"seconds": time.perf_counter() - start_s, "funnel": funnel(tables)}
        write_run(tables, run_id, "rejudge", recipe, state="done", facts=facts)
    if json:
        print_json({"dataset": tables.location} | facts)
        return
    print(f"{num_changed} decisions on clips changed, {num_captions} on captions")
    print_funnel(tables)


if __name__ == "__main__":
    sys.exit(run_job("rejudge"))
