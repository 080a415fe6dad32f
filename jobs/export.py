"""`reelmill export`: the weights of a run by themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.naming import naming
from jobs.console.options import Json
from jobs.console.summary import print_json
from model.builtin import run_folder
from schemas.errors import UsageError


def export(
    run: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--output", "-o"], metavar="FOLDER")],
    format: Literal["reelmill", "diffusers", "lora"] = "reelmill",
    weights: Literal["averaged", "last"] = "averaged",
    average: float | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    json: Json = False,
) -> None:
    """Put the trained weights of a run into a folder of their own, as safetensors with their settings as JSON.

    `reelmill sample` takes the folder in place of a run. It has neither optimizer nor checkpoints: training cannot go
    on from it, but can start from it. Low-rank additions are merged into the weights that they are to, but for
    `--format lora`.

    Args:
        run: Folder of the run, or `builtin`.
        out: Where they go.
        format: `diffusers` writes a pipeline that diffusers loads, for a transformer that it has (Wan, DiT), with the
            scheduler for clips of the usual size; `lora` the low-rank additions alone, as its `load_lora_weights` takes
            them.
        weights: Those averaged over the steps, which sample better, or those of the last step.
        average: Length of another average, as the share of the run over which it reaches, such as 0.15; it is made of
            the two that the run has kept, after the training (EDM2).
        dtype: Precision in which they are stored.
    """
    # PyTorch takes seconds to import, for which help should not wait.
    import torch

    from jobs.training.diffusers_folder import write_additions, write_diffusers
    from jobs.training.run_config import read_run_config, write_run_config
    from model.training.exported import load_transformer, save_transformer, with_additions

    if average is not None and weights == "last":
        raise UsageError("--average: is of averaged weights, not of the last ones")
    folder, precision = run_folder(run), getattr(torch, dtype)
    config = read_run_config(folder)
    with naming(f"run {run}"):
        load = with_additions if format == "lora" else load_transformer
        kept = "average" if weights == "averaged" else "model"
        transformer = load(folder, kept if average is None else average)
    if format == "reelmill":
        write_run_config(out, config)
        save_transformer(out, transformer, dtype=precision)
        num_parameters = sum(parameter.numel() for parameter in transformer.parameters())
    elif format == "diffusers":
        num_parameters = write_diffusers(out, config, transformer.to(precision))
    else:
        num_parameters = write_additions(out, transformer, precision)
    which = f"the {weights} weights" if average is None else f"an average of length {average:g}"
    if json:
        print_json(
            {"output": str(out), "parameters": num_parameters, "weights": weights, "average": average, "dtype": dtype}
        )
        return
    print(f"{out}: {num_parameters:,} parameters, {which} in {dtype}")


if __name__ == "__main__":
    sys.exit(run_job("export"))
