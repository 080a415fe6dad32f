"""Split, measure, filter and caption videos into a data set.

INPUT is a file, a folder, a glob, a URI, or a .parquet, .csv or .jsonl list with a `uri` column. Running the same
command again does only what is still missing; a killed run is continued the same way.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument, add_recipe_arguments, recipe_from
from jobs.console.summary import print_funnel
from jobs.steps.captioning import require_captioner, tell_of_builtin
from jobs.steps.curation import Curation
from pipeline.ingest.inputs import Listing, list_inputs
from pipeline.store.active_recipe import active_recipe
from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel, reject_reasons
from schemas.errors import UsageError
from schemas.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", nargs="+", metavar="INPUT", help="file, folder, glob, URI or list")
    parser.add_argument("--out", required=True, metavar="DATASET", help="folder or URI prefix of the data set")
    add_recipe_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    recipe = recipe_from(args)
    require_captioner(recipe)
    listing = list_inputs(args.input)
    dataset = Dataset(args.out)
    dataset.make_writable()
    with dataset.writing("curate"):
        _require_same_split(dataset, recipe)
        start_s = time.perf_counter()
        dataset.clear_temporaries()
        curation = Curation(dataset, recipe, lambda: tell_of_builtin(recipe))
        num_new = curation.run(listing.inputs)
    _print_summary(args, dataset, listing, num_new, curation.stages, time.perf_counter() - start_s)
    return 0


def _require_same_split(dataset: Dataset, recipe: Recipe) -> None:
    """All videos of a data set are split one way; another way makes other clips, and so another data set.

    Raises:
        UsageError: an earlier run used other settings; names the first key that differs.
    """
    standing = active_recipe(dataset)
    if standing is None:
        return
    difference = _first_difference(asdict(standing.split), asdict(recipe.split), "split")
    if difference:
        raise UsageError(f"data set {dataset.location} was curated with {difference}; use another --out")


def _first_difference(before: Any, now: Any, path: str) -> str | None:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            difference = _first_difference(before.get(key), now.get(key), f"{path}.{key}")
            if difference:
                return difference
        return None
    return None if before == now else f"{path} = {before!r}, not {now!r}"


def _print_summary(
    args: argparse.Namespace,
    dataset: Dataset,
    listing: Listing,
    num_new: int,
    stages: dict[str, Any],
    seconds: float,
) -> None:
    summary = {
        "dataset": dataset.location,
        "funnel": funnel(dataset),
        "reasons": {reason: clips for reason, clips, _ in reject_reasons(dataset)},
        "inputs": len(listing.inputs),
        "inputs_done_before": len(listing.inputs) - num_new,
        "files_without_media_suffix": listing.num_other_files,
        "seconds": round(seconds, 2),
        "stages": stages,
    }
    if args.json:
        json.dump(summary, sys.stdout)
        print()
        return
    if listing.num_other_files:
        print(f"{listing.num_other_files} files in folders were left out: not named like a video or an image")
    done = summary["inputs_done_before"]
    print(f"{len(listing.inputs)} inputs, {done} of them done before, in {seconds:.1f} s -> {dataset.location}")
    print_funnel(dataset)


if __name__ == "__main__":
    sys.exit(run_job("curate"))
