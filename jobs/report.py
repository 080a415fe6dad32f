"""`reelmill report`: one HTML page about a data set."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.options import AtLeast0, DatasetLocation, Json
from jobs.console.pages import PagePath, page_place, write_page
from jobs.console.progress import live_progress
from jobs.console.summary import print_json
from pipeline.report.page import ReportConfig, report_page
from pipeline.report.training import read_loss_curve, read_sample
from pipeline.store.dataset import Dataset

FILE_NAME = "report.html"
AtMost = Annotated[AtLeast0, Parameter(metavar="N")]


def report(
    dataset: DatasetLocation,
    /,
    *,
    out: PagePath = None,
    clips: AtMost = ReportConfig.num_clips,
    near: AtMost = ReportConfig.num_near,
    groups: AtMost = ReportConfig.num_groups,
    captions: AtMost = ReportConfig.num_captions,
    videos: AtMost = ReportConfig.num_videos,
    train: Annotated[str | None, Parameter(metavar="RUN")] = None,
    sample: Annotated[str | None, Parameter(metavar="FILE")] = None,
    json: Json = False,
) -> None:
    """Write a page: funnel, rules, clips about each threshold, scores, captions side by side, timelines, releases.

    The page is one HTML file that holds its own pictures; it can be mailed, and opens without a network. Its rules are
    those of the data set's active recipe.

    Args:
        out: Where the page goes; DATASET/report.html if not given.
        clips: Show at most N kept clips, clips of a failure, and failed videos.
        near: Show at most N clips on either side of each threshold.
        groups: Show at most N groups of duplicates.
        captions: Show at most N clips with two captions side by side.
        videos: Draw the timelines of at most N videos.
        train: Folder of a training run, whose loss curve is drawn.
        sample: A sampled video or image, which is embedded.
    """
    tables = Dataset(dataset).require()
    if out is None:
        tables.make_writable()
    folder, name = page_place(out) if out is not None else (tables, FILE_NAME)
    config = ReportConfig(
        num_clips=clips,
        num_near=near,
        num_videos=videos,
        num_groups=groups,
        num_captions=captions,
        curve=read_loss_curve(train) if train else None,
        sample=read_sample(sample) if sample else None,
    )
    num_read = 0

    def count() -> None:
        nonlocal num_read
        num_read += 1

    with live_progress(lambda: {"clips": {"rows": num_read}}, lambda stages: f"clips read {stages['clips']['rows']}"):
        page = report_page(tables, config, count)
    path, num_bytes = write_page(folder, name, page)
    if json:
        print_json({"report": path, "bytes": num_bytes, "clips_shown": num_read})
    else:
        print(path)


if __name__ == "__main__":
    sys.exit(run_job("report"))
