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


def export(
    run: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--output", "-o"], metavar="FOLDER")],
    weights: Literal["averaged", "last"] = "averaged",
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    json: Json = False,
) -> None:
    """Put the trained weights of a run into a folder of their own, as safetensors with their settings as JSON.

    `reelmill sample` takes the folder in place of a run. It has neither optimizer nor checkpoints: training cannot go
    on from it, but can start from it.

    Args:
        run: Folder of the run.
        out: Where they go.
        weights: Those averaged over the steps, which sample better, or those of the last step.
        dtype: Precision in which they are stored.
    """
    # PyTorch takes seconds to import, for which help should not wait.
    import torch

    from jobs.training.run_config import read_run_config, write_run_config
    from model.training.exported import load_transformer, save_transformer

    config = read_run_config(run)
    with naming(f"run {run}"):
        transformer = load_transformer(run, "ema" if weights == "averaged" else "model")
    write_run_config(out, config)
    save_transformer(out, transformer, dtype=getattr(torch, dtype))
    num_parameters = sum(parameter.numel() for parameter in transformer.parameters())
    if json:
        print_json({"output": str(out), "parameters": num_parameters, "weights": weights, "dtype": dtype})
        return
    print(f"{out}: {num_parameters:,} parameters, the {weights} weights in {dtype}")


if __name__ == "__main__":
    sys.exit(run_job("export"))
