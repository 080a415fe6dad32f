"""Say what was added, removed and changed between two releases of a data set, and why.

A clip that was removed is explained by what stood against it when release B was frozen: a rule, a missing or rejected
caption, B's condition, or the draw. A clip that was added, by what stood against it when A was. With -o a page is
written besides, on which clips that are captioned otherwise show both captions side by side.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument
from jobs.console.pages import page_place, write_page
from pipeline.release.diff import ADDED, CHANGED, REMOVED, Difference, Differences, compare
from pipeline.report.page import ReportConfig, diff_page
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError

MAX_VALUE_CHARS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("old", metavar="A", help="name of a release")
    parser.add_argument("new", metavar="B", help="name of another, to which A is compared")
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="list at most N clips of each kind (default: %(default)s)"
    )
    parser.add_argument("-o", "--out", metavar="FILE.html", help="write a page with captions side by side")
    default = ReportConfig.num_captions
    parser.add_argument("--captions", type=int, default=default, metavar="N", help="of N clips (default: %(default)s)")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    if args.limit < 0:
        raise UsageError(f"--limit {args.limit}: must be 0 or more")
    if args.captions < 0:
        raise UsageError(f"--captions {args.captions}: must be 0 or more")
    dataset = Dataset(args.dataset).require()
    differences = compare(dataset, args.old, args.new)
    page = {}
    if args.out is not None:
        place, name = page_place(args.out)
        page["page"], _ = write_page(place, name, diff_page(dataset, differences, args.captions))
    if args.json:
        json.dump(summary(differences) | page, sys.stdout)
        print()
        return 0
    _print(differences, args)
    print(*page.values(), sep="\n", end="\n" if page else "")
    return 0


def _print(differences: Differences, args: argparse.Namespace) -> None:
    counts = differences.counts
    print(
        f"{args.old} ({differences.old.clips.num_rows} clips) -> {args.new} ({differences.new.clips.num_rows} clips): "
        + ", ".join(f"{count} {kind}" for kind, count in counts.items())
        + f", {differences.num_same} the same"
    )
    console = Console(highlight=False)
    if differences.clips:
        console.print(_reason_table(differences))
    for kind in (ADDED, REMOVED, CHANGED):
        _print_clips(console, kind, [found for found in differences.clips if found.kind == kind], args.limit)


def summary(differences: Differences) -> dict[str, Any]:
    """Everything, for programs: counts, counts by reason, and every clip."""
    releases = {"a": differences.old, "b": differences.new}
    return {
        **{side: {"name": found.name, "hash": found.content_hash} for side, found in releases.items()},
        **differences.counts,
        "same": differences.num_same,
        "reasons": {kind: differences.reason_counts(kind) for kind in differences.counts},
        "clips": [_as_json(difference) for difference in differences.clips],
    }


def _as_json(difference: Difference) -> dict[str, Any]:
    clip = {name: difference.clip[name] for name in ("clip_id", "uri", "start_us", "end_us")}
    changes = {change.column: {"old": change.old, "new": change.new} for change in difference.changes}
    return clip | {"kind": difference.kind, "reasons": list(difference.reasons), "changes": changes}


def _reason_table(differences: Differences) -> Table:
    table = Table("", "why, or what", "clips", title="reasons", title_justify="left")
    table.columns[2].justify = "right"
    for kind in (ADDED, REMOVED, CHANGED):
        for reason, count in differences.reason_counts(kind).items():
            table.add_row(kind, escape(reason), str(count))
    return table


def _print_clips(console: Console, kind: str, found: list[Difference], limit: int) -> None:
    if not found or not limit:
        return
    table = Table("clip", "video", "seconds", "what" if kind == CHANGED else "why", title=kind, title_justify="left")
    for difference in found[:limit]:
        clip = difference.clip
        span = "image" if clip["is_image"] else f"{clip['start_us'] / 1e6:.2f} to {clip['end_us'] / 1e6:.2f}"
        lines = [_change_line(change.column, change.old, change.new) for change in difference.changes]
        said = "\n".join(lines or difference.reasons)
        table.add_row(clip["clip_id"], escape(clip["uri"].rpartition("/")[2]), span, escape(said))
    console.print(table)
    if len(found) > limit:
        console.print(f"{len(found) - limit} more {kind}; --limit or --json shows them")


def _change_line(column: str, old: Any, new: Any) -> str:
    return f"{column}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[: MAX_VALUE_CHARS - 1]}…"


if __name__ == "__main__":
    sys.exit(run_job("diff"))
