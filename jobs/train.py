"""`reelmill train`: a diffusion transformer fitted to a release."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.options import NO_CHANGES, DatasetLocation, Json, RecipeOptions, ReleaseName
from jobs.console.summary import print_json
from jobs.steps.records import new_run_id, write_run
from model.builtin import run_folder
from pipeline.store.dataset import Dataset


def train(
    dataset: DatasetLocation,
    /,
    *,
    release: ReleaseName,
    out: Annotated[Path, Parameter(metavar="RUN")],
    init: Annotated[Path | None, Parameter(metavar="RUN")] = None,
    options: RecipeOptions = NO_CHANGES,
    json: Json = False,
) -> None:
    """Fit the diffusion transformer to a release whose clips are encoded.

    The same command on the same RUN continues where it stopped or was killed, and gives the numbers of an unbroken run;
    with a larger `train.steps` it continues a finished run.

    Args:
        out: Folder of the run.
        init: Start a new run from the averaged weights of one of the same model and encoders, or of `builtin`.
    """
    # PyTorch takes seconds to import, for which help should not wait.
    from jobs.training.run import (
        begin,
        machine_resources,
        prepare,
        require_init,
        require_local,
        require_resources,
        run_to_end,
        summarise,
    )
    from model.transformer.transformer import count_parameters

    tables = Dataset(dataset).require()
    recipe = options.over(tables)
    config, transformer, tokens = prepare(tables, release, recipe)
    if not os.environ.get("RAY_ADDRESS"):  # a cluster may yet grow, this machine will not
        require_resources(recipe.train, machine_resources())
    run_dir = require_local(out).resolve()
    start = require_init(run_folder(init), config, transformer) if init else None
    begin(run_dir, config, transformer)
    print(
        f"release {config.release}: {config.num_clips} clips, {tokens} tokens an epoch; "
        f"transformer of {count_parameters(transformer):,} parameters",
        file=sys.stderr,
    )
    run_id = new_run_id("train")
    write_run(tables, run_id, "train", recipe, state="running", facts={"out": str(run_dir)})
    start_s = time.perf_counter()
    run_to_end(run_dir, recipe.train, start)
    summary = summarise(run_dir, time.perf_counter() - start_s)
    write_run(tables, run_id, "train", recipe, state="done", facts=summary | {"out": str(run_dir)})
    if json:
        print_json(summary)
        return
    print(
        f"{summary['steps']} steps; loss {summary['loss_start']:.3f} -> {summary['loss_end']:.3f}, "
        f"validation {summary['val_loss_start']:.3f} -> {summary['val_loss_end']:.3f}; {summary['checkpoint']}"
    )


if __name__ == "__main__":
    sys.exit(run_job("train"))
