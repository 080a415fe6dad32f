"""`reelmill train`: a diffusion transformer fitted to a release."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.options import NO_CHANGES, DatasetLocation, DryRun, Json, RecipeOptions, ReleaseName
from jobs.console.summary import print_json
from jobs.steps.records import new_run_id, write_run
from model.builtin import run_folder
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError


def train(
    dataset: DatasetLocation,
    /,
    *,
    release: ReleaseName,
    out: Annotated[Path, Parameter(metavar="RUN")],
    init: Annotated[Path | None, Parameter(metavar="RUN")] = None,
    dry_run: DryRun = False,
    gpu: Annotated[str | None, Parameter(metavar="NAME")] = None,
    options: RecipeOptions = NO_CHANGES,
    json: Json = False,
) -> None:
    """Fit the diffusion transformer to a release whose clips are encoded.

    The same command on the same RUN continues where it stopped or was killed, and gives the numbers of an unbroken run;
    with a larger `train.steps` it continues a finished run.

    Args:
        out: Folder of the run.
        init: Start a new run from the averaged weights of one of the same model and encoders, or of `builtin`; or from
            a folder of diffusers with a transformer of Wan or DiT, whose model the run takes over. With
            `train.lora.rank` these weights stay, and low-rank additions to them are trained.
        gpu: With `--dry-run`: say the time on GPUs of this name, as `h100`, in place of this machine.
    """
    # PyTorch takes seconds to import, for which help should not wait.
    from jobs.training.foreseen import foreseen, print_foreseen, require_gpu
    from jobs.training.run import (
        begin,
        forecast,
        machine_resources,
        prepare,
        require_local,
        require_resources,
        run_to_end,
        summarise,
    )
    from jobs.training.start import start_of, with_whole_model
    from model.transformer.transformer import count_parameters

    tables = Dataset(dataset).require()
    recipe = options.over(tables)
    if gpu is not None and not dry_run:
        raise UsageError("--gpu: is for --dry-run; a run uses the GPUs that Ray finds, with train.use_gpu = true")
    on = require_gpu(gpu) if gpu is not None else None
    whole = replace(recipe, train=with_whole_model(recipe.train, init))
    config, transformer, tokens = prepare(tables, release, whole)
    if dry_run:
        facts = foreseen(forecast(tables, config, transformer, whole.train), whole.train, on)
        (print_json if json else print_foreseen)(facts)
        return
    if not os.environ.get("RAY_ADDRESS"):  # a cluster may yet grow, this machine will not
        require_resources(recipe.train, machine_resources())
    run_dir = require_local(out).resolve()
    start = start_of(run_folder(init) if init else None, run_dir, config, transformer, whole.train)
    begin(run_dir, config, transformer)
    start.write(run_dir)
    print(
        f"release {config.release}: {config.num_clips} clips, {tokens} tokens an epoch; "
        f"transformer of {count_parameters(transformer):,} parameters",
        file=sys.stderr,
    )
    run_id = new_run_id("train")
    write_run(tables, run_id, "train", recipe, state="running", facts={"out": str(run_dir)})
    start_s = time.perf_counter()
    run_to_end(run_dir, whole.train, start.folder)
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
