"""The `reelmill` command: one sub-command a job, each job a module with `add_arguments` and `run`.

Exit status: 0 done, even if some inputs failed; 1 the job failed; 2 usage or recipe is wrong, said in one line.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from schemas.errors import JobError, UsageError

JOBS = {
    "curate": "split, measure, filter and caption videos into a data set",
    "recaption": "write new captions for a data set's clips, beside the old ones",
    "release": "freeze a selection of captioned clips",
    "encode": "compute latents and text embeddings of a release",
    "train": "fit the diffusion transformer to a release",
    "expand": "turn a short prompt into the style of the training captions",
    "sample": "make a video or an image from a prompt",
    "query": "run SQL over a data set with DuckDB",
    "funnel": "show what each step and each rule keeps, and what other rules would",
    "rejudge": "judge the clips of a data set again by other rules",
    "diff": "say what added, removed and changed between two releases, and why",
    "report": "write a page with funnel, histograms and contact sheets",
    "demo": "all of it, on a corpus that it draws itself or on a folder of videos",
    "submit": "run any of these on a Ray cluster, through Ray Jobs",
}
EPILOG = "`reelmill JOB --help` tells what a job takes. Start with: reelmill demo --out out/demo"


class OneLineParser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] not in JOBS:
        print(f"reelmill: no job {arguments[0]!r}; there are {', '.join(JOBS)}", file=sys.stderr)
        return 2
    return run_job(arguments[0], arguments[1:])


def run_job(name: str, arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments of one job and run it; the entry of `python -m jobs.NAME` too."""
    # vLLM, Ray and FFmpeg each announce themselves; the user asked for none of it.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    job = importlib.import_module(f"jobs.{name}")
    parser = OneLineParser(
        prog=f"reelmill {name}", description=job.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    job.add_arguments(parser)
    try:
        # Options may stand between positional arguments, except where all that follows belongs to another job.
        parse = parser.parse_args if name == "submit" else parser.parse_intermixed_args
        return job.run(parse(arguments))
    except UsageError as error:
        print(f"reelmill {name}: {error}", file=sys.stderr)
        return 2
    except JobError as error:
        print(f"reelmill {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _overview() -> str:
    width = max(map(len, JOBS))
    lines = "\n".join(f"  {name:<{width}}  {text}" for name, text in JOBS.items())
    return f"usage: reelmill JOB ...\n\nFrom raw video to a text-to-video training run.\n\n{lines}\n\n{EPILOG}"


if __name__ == "__main__":
    sys.exit(main())
