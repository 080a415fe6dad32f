"""`reelmill demo`: the whole chain, each step printed as one would type it."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from jobs.cli import main, run_job
from jobs.console.options import AtLeast1
from jobs.console.summary import print_funnel
from model.builtin import BUILTIN
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError

RELEASE = "demo"


def demo(
    *,
    out: Annotated[Path, Parameter(metavar="DIR")],
    input: Annotated[Path | None, Parameter(metavar="FOLDER")] = None,
    seed: int = 0,
    videos: Annotated[AtLeast1, Parameter(metavar="N")] = 12,
    steps: Annotated[AtLeast1, Parameter(metavar="N")] = 100,
    prompt: str = "a red circle moves left",
) -> int:
    """Run the whole chain on a synthetic corpus, or on your own videos with --input.

    It first samples from the model that comes with the program, and on the synthetic corpus training starts from that
    one. Each step is a command that is printed as you would type it. Running the same demo again continues it.

    Args:
        out: Folder for everything that is made.
        input: Your own videos, in place of the synthetic corpus.
        seed: Seed of the synthetic corpus.
        videos: How many synthetic videos.
        steps: Training steps.
        prompt: What to sample.

    Returns:
        The exit status of the first step that failed, or 0.
    """
    if input is not None and not input.exists():
        raise UsageError(f"--input {input}: no such file or folder")
    out = out.absolute()
    start_s = time.perf_counter()
    console = Console(highlight=False)
    source, recipe = (input, "default") if input else (_synthetic(out, seed, videos, console), "demo")
    dataset, training, clip, page = out / "dataset", out / "run", out / "sample.mp4", out / "report.html"
    fit = ("--init", BUILTIN) if recipe == "demo" else ()  # whose model is the built-in one
    lines: list[Sequence[object]] = [
        ("sample", BUILTIN, prompt, "-o", out / "before.mp4"),
        ("curate", source, "--out", dataset, "--recipe", recipe),
        ("release", dataset, RELEASE),
        ("encode", dataset, "--release", RELEASE),
        ("train", dataset, "--release", RELEASE, "--out", training, *fit, "--set", f"train.steps={steps}"),
        ("sample", training, prompt, "--expand", "--size", "96x64", "--seconds", "2", "-o", clip),
        ("report", dataset, "--train", training, "--sample", clip, "-o", page),
    ]
    for line in lines:
        words = [str(word) for word in line]
        console.rule(f"reelmill {shlex.join(words)}", align="left")
        if status := main(words):
            return status
    from jobs.training.run import summarise  # imports PyTorch, for which help should not wait

    console.rule("done", align="left")
    print_funnel(Dataset(str(dataset)))
    summary = summarise(training, time.perf_counter() - start_s)
    for text in (
        f"training loss: {summary['loss_start']:.3f} at the start, {summary['loss_end']:.3f} at the end",
        f"sampled video: {clip}, and before training: {out / 'before.mp4'}",
        f"report page:   {page}",
        f"time: {time.perf_counter() - start_s:.0f} s",
    ):
        console.print(text, soft_wrap=True)
    return 0


def _synthetic(out: Path, seed: int, num_videos: int, console: Console) -> Path:
    """The list of the synthetic corpus, which is made once; a second run finds it there."""
    from pipeline.synthetic.corpus import draw_corpus

    corpus = out / "corpus"
    if not (corpus / "truth.json").exists():
        console.rule("making synthetic videos whose truth is known", align="left")
        truth = draw_corpus(corpus, seed=seed, num_videos=num_videos)
        console.print(f"{len(truth.videos)} files in {corpus}", soft_wrap=True)
    return corpus / "inputs.jsonl"


if __name__ == "__main__":
    sys.exit(run_job("demo"))
