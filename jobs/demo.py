"""The whole chain on a corpus that it draws itself, or on your own videos with --input.

Each step is a job that is printed as you would type it. Running the same demo again continues it.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from jobs.cli import run_job
from jobs.console.summary import print_funnel
from jobs.train import summarise
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError

RELEASE = "demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--input", metavar="FOLDER", help="your own videos; without it a corpus is drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic corpus (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=12, help="how many to draw (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=600, help="training steps (default: %(default)s)")
    parser.add_argument("--prompt", default="a red circle moves left", help="what to sample (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    out = Path(args.out).absolute()
    if args.input is not None and not Path(args.input).exists():
        raise UsageError(f"--input {args.input}: no such file or folder")
    start_s = time.perf_counter()
    console = Console(highlight=False)
    inputs, recipe = ([args.input], "default") if args.input else ([_draw(args, out, console)], "demo")
    dataset, training, clip, page = out / "dataset", out / "run", out / "sample.mp4", out / "report.html"
    steps: list[Sequence[object]] = [
        ("curate", *inputs, "--out", dataset, "--recipe", recipe),
        ("release", dataset, RELEASE),
        ("encode", dataset, "--release", RELEASE, "--recipe", recipe),
        (
            "train",
            dataset,
            "--release",
            RELEASE,
            "--out",
            training,
            "--recipe",
            recipe,
            "--set",
            f"train.steps={args.steps}",
        ),
        ("sample", training, args.prompt, "--expand", "--size", "96x64", "--seconds", "2", "-o", clip),
        ("report", dataset, "--train", training, "--sample", clip, "-o", page),
    ]
    for step in steps:
        words = [str(word) for word in step]
        console.rule(f"reelmill {shlex.join(words)}", align="left")
        status = run_job(words[0], words[1:])
        if status:
            return status
    console.rule("done", align="left")
    print_funnel(Dataset(str(dataset)))
    summary = summarise(training, time.perf_counter() - start_s)
    console.print(
        f"training loss: {summary['loss_start']:.3f} at the start, {summary['loss_end']:.3f} at the end", soft_wrap=True
    )
    console.print(f"sampled video: {clip}", soft_wrap=True)
    console.print(f"report page:   {page}", soft_wrap=True)
    console.print(f"time: {time.perf_counter() - start_s:.0f} s")
    return 0


def _draw(args: argparse.Namespace, out: Path, console: Console) -> str:
    """Draw the corpus once; a second run finds it there."""
    from pipeline.synthetic.corpus import draw_corpus

    corpus = out / "corpus"
    if not (corpus / "truth.json").exists():
        console.rule("drawing videos whose truth is known", align="left")
        truth = draw_corpus(corpus, seed=args.seed, num_videos=args.videos)
        console.print(f"{len(truth.videos)} files in {corpus}", soft_wrap=True)
    return str(corpus / "inputs.jsonl")


if __name__ == "__main__":
    import sys

    sys.exit(run_job("demo"))
