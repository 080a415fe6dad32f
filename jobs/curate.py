"""`reelmill curate`: from videos and images to captioned clips in a data set."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.options import RECIPE, Json, RetryFailed, Settings
from jobs.console.summary import print_funnel, print_json
from jobs.steps.captioning import require_captioner, tell_of_builtin
from jobs.steps.curation import Curation
from pipeline.ingest.inputs import Listing, list_inputs
from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel, reject_reasons
from schemas.recipe import load_recipe


def curate(
    *inputs: Annotated[str, Parameter(required=True)],
    out: Annotated[str, Parameter(metavar="DATASET")],
    recipe: Annotated[str, RECIPE, Parameter(help="A built-in recipe or a file.")] = "default",
    settings: Settings = (),
    retry_failed: RetryFailed = False,
    json: Json = False,
) -> None:
    """Split, measure, filter and caption videos into a data set.

    Running the same command again does only what is still missing; a killed run is continued the same way. The recipe
    becomes the data set's own, from which the commands that follow start. Other [split] settings divide all videos of
    the data set again.

    Args:
        inputs: Files, folders, globs, URIs, or .parquet, .csv or .jsonl lists with a `uri` column.
        out: Folder or URI prefix of the data set.
    """
    chosen = load_recipe(recipe, settings)
    require_captioner(chosen)
    listing = list_inputs(inputs)
    dataset = Dataset(out)
    dataset.make_writable()
    with dataset.writing("curate"):
        start_s = time.perf_counter()
        dataset.clear_temporaries()
        curation = Curation(dataset, chosen, lambda: tell_of_builtin(chosen), retry_failed=retry_failed)
        num_new = curation.run(listing.table)
    summary = _summary(dataset, listing, num_new, curation.stages, time.perf_counter() - start_s)
    if json:
        print_json(summary)
    else:
        _print(summary, dataset)


def _summary(
    dataset: Dataset, listing: Listing, num_new: int, stages: dict[str, Any], seconds: float
) -> dict[str, Any]:
    return {
        "dataset": dataset.location,
        "funnel": funnel(dataset),
        "reasons": {reason: clips for reason, clips, _ in reject_reasons(dataset)},
        "inputs": listing.table.num_rows,
        "inputs_done_before": listing.table.num_rows - num_new,
        "files_without_media_suffix": listing.num_other_files,
        "rows_that_repeat_a_uri": listing.num_repeated,
        "seconds": round(seconds, 2),
        "stages": stages,
    }


def _print(summary: dict[str, Any], dataset: Dataset) -> None:
    if num_other := summary["files_without_media_suffix"]:
        print(f"{num_other} files in folders were left out: not named like a video or an image")
    if num_repeated := summary["rows_that_repeat_a_uri"]:
        print(f"{num_repeated} rows of lists name a file that an earlier row names: what that row says counts")
    print(
        f"{summary['inputs']} inputs, {summary['inputs_done_before']} of them done before, "
        f"in {summary['seconds']:.1f} s -> {dataset.location}"
    )
    print_funnel(dataset)


if __name__ == "__main__":
    sys.exit(run_job("curate"))
