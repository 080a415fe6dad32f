"""The metrics of a run in a tracker, beside `metrics.jsonl`: trackio, whose files `trackio show` draws as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from schemas.identity import digest

PROJECT = "reelmill"
Log = Callable[[Mapping[str, Any]], None]


def require_tracker(name: str) -> None:
    """Raise UsageError if the tracker is not installed."""
    if name != "none" and find_spec(name) is None:
        raise UsageError(f"train.tracker = {name}: it is not installed; install the extra reelmill[{name}]")


def run_name(run_dir: Path) -> str:
    """What a run is called: by its folder, and not like another of that name elsewhere."""
    return f"{run_dir.name}-{digest(str(run_dir.resolve()))[:6]}"


@contextmanager
def tracked(name: str, run_dir: Path, settings: Mapping[str, Any]) -> Iterator[Log]:
    """What logs a line of metrics, with its step. A run that goes on is the same one in the tracker.

    Args:
        settings: what is shown as those of the run.
    """
    if name == "none":
        yield lambda metrics: None
        return
    import trackio

    run = trackio.init(
        project=PROJECT,
        name=run_name(run_dir),
        config=dict(settings),
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    try:
        yield lambda metrics: run.log(flat(metrics), step=metrics["step"])
    finally:
        run.finish()


def flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line; those of a table by `NAME/ROW`."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{row}": number for row, number in value.items()}
        elif isinstance(value, int | float) and name != "step":
            found[name] = value
    return found
