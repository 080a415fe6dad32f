"""`reelmill diff`: two releases of a data set compared, with reasons."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.cli import run_job
from jobs.console.options import AtLeast0, DatasetLocation, Json
from jobs.console.pages import PagePath, page_place, write_page
from jobs.console.summary import print_json
from pipeline.release.diff import ADDED, CHANGED, REMOVED, Difference, Differences, compare
from pipeline.report.page import ReportConfig, diff_page
from pipeline.store.dataset import Dataset

MAX_VALUE_CHARS = 60


def diff(
    dataset: DatasetLocation,
    a: str,
    b: str,
    /,
    *,
    limit: Annotated[AtLeast0, Parameter(metavar="N")] = 20,
    out: PagePath = None,
    captions: Annotated[AtLeast0, Parameter(metavar="N")] = ReportConfig.num_captions,
    json: Json = False,
) -> None:
    """Say what was added, removed and changed between two releases of a data set, and why.

    A removed clip is explained by what was against it when release B was frozen: a rule, a missing or rejected caption,
    B's condition, or the draw. An added clip is explained by what was against it when A was frozen.

    Args:
        a: Name of a release.
        b: Name of the release to which A is compared.
        limit: List at most N clips of each kind.
        out: Also write a page, on which clips with other captions show both side by side.
        captions: Show the captions of at most N clips on the page.
    """
    tables = Dataset(dataset).require()
    differences = compare(tables, a, b)
    page = {}
    if out is not None:
        place, name = page_place(out)
        page["page"], _ = write_page(place, name, diff_page(tables, differences, captions))
    if json:
        print_json(summary(differences) | page)
        return
    _print(differences, limit)
    print(*page.values(), sep="\n", end="\n" if page else "")


def _print(differences: Differences, limit: int) -> None:
    counts, old, new = differences.counts, differences.old, differences.new
    print(
        f"{old.name} ({old.clips.num_rows} clips) -> {new.name} ({new.clips.num_rows} clips): "
        + ", ".join(f"{count} {kind}" for kind, count in counts.items())
        + f", {differences.num_same} the same"
    )
    console = Console(highlight=False)
    if differences.clips:
        console.print(_reason_table(differences))
    for kind in (ADDED, REMOVED, CHANGED):
        _print_clips(console, kind, [found for found in differences.clips if found.kind == kind], limit)


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
