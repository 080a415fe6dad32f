"""Write a page: funnel, rules, clips about each threshold, scores, captions side by side, timelines, releases.

The page is one HTML file that holds its own pictures; it can be mailed, and opens without a network.
"""

from __future__ import annotations

import argparse
import json
import sys

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument
from jobs.console.pages import page_place, write_page
from jobs.console.progress import live_progress
from pipeline.report.contact_sheets import Judged
from pipeline.report.page import ReportConfig, report_page
from pipeline.report.training import read_loss_curve, read_sample
from pipeline.rules.clips import judge_clips
from pipeline.store.active_recipe import active_recipe
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError

FILE_NAME = "report.html"
LIMITS = (
    ("clips", ReportConfig.num_clips, "show at most N kept clips, clips of a failure, and failed videos"),
    ("near", ReportConfig.num_near, "show at most N clips on either side of each threshold"),
    ("groups", ReportConfig.num_groups, "show at most N groups of duplicates"),
    ("captions", ReportConfig.num_captions, "show at most N clips with two captions side by side"),
    ("videos", ReportConfig.num_videos, "draw the timelines of at most N videos"),
)
"""Options that bound what is shown: name, default and meaning."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("-o", "--out", metavar="FILE.html", help=f"default: DATASET/{FILE_NAME}")
    for option, default, what in LIMITS:
        parser.add_argument(f"--{option}", type=int, default=default, metavar="N", help=f"{what} (default: {default})")
    parser.add_argument("--train", metavar="RUN", help="folder of a training run; draws its loss curve")
    parser.add_argument("--sample", metavar="FILE.mp4", help="a sampled video or image; embeds it")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    for option, _, _ in LIMITS:
        if getattr(args, option) < 0:
            raise UsageError(f"--{option} {getattr(args, option)}: must be 0 or more")
    dataset = Dataset(args.dataset).require()
    if args.out is None:
        dataset.make_writable()
    folder, name = page_place(args.out) if args.out is not None else (dataset, FILE_NAME)
    config = ReportConfig(
        num_clips=args.clips,
        num_near=args.near,
        num_videos=args.videos,
        num_groups=args.groups,
        num_captions=args.captions,
        curve=read_loss_curve(args.train) if args.train else None,
        sample=read_sample(args.sample) if args.sample else None,
        judged=_judged(dataset),
    )
    num_read = 0

    def count() -> None:
        nonlocal num_read
        num_read += 1

    with live_progress(lambda: {"clips": {"rows": num_read}}, lambda stages: f"clips read {stages['clips']['rows']}"):
        page = report_page(dataset, config, count)
    path, num_bytes = write_page(folder, name, page)
    if args.json:
        json.dump({"report": path, "bytes": num_bytes, "clips_shown": num_read}, sys.stdout)
        print()
    else:
        print(path)
    return 0


def _judged(dataset: Dataset) -> Judged | None:
    """What the rules that the data set was judged by last make of its clips; None before the first time."""
    recipe = active_recipe(dataset)
    return Judged(recipe, judge_clips(dataset, recipe)) if recipe else None


if __name__ == "__main__":
    sys.exit(run_job("report"))
