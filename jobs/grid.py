"""`reelmill grid`: pictures of what a run sampled as it was trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.options import AtLeast1, Json
from jobs.console.summary import print_json
from schemas.errors import UsageError


def grid(
    run: Path,
    prompts: Annotated[list[str], Parameter(metavar="PROMPT", negative=())],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], metavar="FILE")],
    columns: Annotated[AtLeast1, Parameter(metavar="N")] = 6,
    size: Annotated[str | None, Parameter(metavar="WxH")] = None,
    steps: Annotated[AtLeast1, Parameter(metavar="N")] = 12,
    guidance: float = 2.5,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Sample the same prompts, from the same noise, with the averaged weights of each snapshot of a run.

    A row a prompt, a column a snapshot; of each clip the first, the middle and the last frame. A run has a snapshot
    every `train.snapshot_every` steps and at its end.

    Args:
        run: Folder of the run.
        prompts: What to show.
        output: Where it goes: a name in .png.
        columns: Snapshots at most, evenly spaced, with the last one.
        size: Size in pixels; without it the most frequent of training.
        steps: Steps of the sampler.
        guidance: Guidance scale; 1 for none.
        seed: Seed of the noise.
    """
    # PyTorch takes seconds to import, for which help should not wait.
    import numpy as np
    import torch

    from jobs.sampling.clip import Settings, plan_of
    from jobs.sampling.movie import check_target, write_frames
    from jobs.sampling.over_training import chosen_snapshots, samples_over_training
    from jobs.sheets import labels, row, sheet
    from jobs.training.run_config import read_run_config
    from model.diffusion.guidance import Guidance

    if output.suffix != ".png":
        raise UsageError(f"--output {output}: the name must end in .png")
    check_target(output, 1)
    config = read_run_config(run)
    snapshots = chosen_snapshots(run, columns)
    plan = plan_of(size, None, config, None, is_image=False)
    settings = Settings("euler", steps, Guidance(guidance), seed)
    rows: list[list[list[np.ndarray]]] = [[] for _ in prompts]
    clips = samples_over_training(run, snapshots, prompts, config, plan, settings)
    for snapshot, of_prompts in zip(snapshots, clips, strict=True):
        print(f"step {snapshot.step}", file=sys.stderr)
        for cells, prompt, clip in zip(rows, prompts, of_prompts, strict=True):
            frames = row(torch.from_numpy(clip).permute(3, 0, 1, 2)[None] / 127.5 - 1)
            words = prompt if not cells else ""
            step = labels(f"step {snapshot.step}", frames.shape[1])
            cells.append([frames, *step, *labels(words, frames.shape[1])])
    picture = sheet([cell for cells in rows for cell in cells], len(snapshots))
    write_frames(output, picture[None], config.fps)
    if json:
        print_json({"output": str(output), "steps": [s.step for s in snapshots], "prompts": prompts})
        return
    print(f"{output}: {len(prompts)} prompts at {len(snapshots)} snapshots")


if __name__ == "__main__":
    sys.exit(run_job("grid"))
