"""Run statistics: rows, seconds and bytes of each stage so far, counted where the work is done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")
END = object()


@dataclass
class StageTotals:
    """Sums over all tasks of a stage; where tasks run in parallel, `seconds` is more than the time that has passed."""

    rows: int = 0
    seconds: float = 0.0
    num_bytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class RunStatistics:
    """Totals of each stage, and how often work was begun and not ended. An actor holds them; stages report to it."""

    def __init__(self) -> None:
        self._stages: dict[str, StageTotals] = {}
        self._begun: dict[tuple[str, ...], int] = {}

    def add(self, stage: str, rows: int, seconds: float, num_bytes: int, counts: dict[str, int]) -> None:
        totals = self._stages.setdefault(stage, StageTotals())
        totals.rows += rows
        totals.seconds += seconds
        totals.num_bytes += num_bytes
        for name, count in counts.items():
            totals.counts[name] = totals.counts.get(name, 0) + count

    def begin(self, clip_ids: tuple[str, ...]) -> int:
        """Work on clips begins; returns how often it was begun before without ending: so many workers died at it."""
        num_deaths = self._begun.get(clip_ids, 0)
        self._begun[clip_ids] = num_deaths + 1
        return num_deaths

    def end(self, clip_ids: tuple[str, ...]) -> None:
        """Work that was begun has ended, with a result or an error."""
        self._begun.pop(clip_ids, None)

    def totals(self) -> dict[str, dict[str, Any]]:
        return {stage: asdict(totals) for stage, totals in self._stages.items()}


class Reporter(Protocol):
    """How a stage reports: to statistics in this process, or to the actor that holds them."""

    def __call__(self, stage: str, rows: int, seconds: float, num_bytes: int, counts: dict[str, int]) -> None: ...


@dataclass
class Work:
    """What a piece of work of a stage fills in before it is reported."""

    rows: int = 0
    num_bytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number


def timed_items(report: Reporter, stage: str, items: Iterable[T]) -> Iterator[T]:
    """Items as they come; the time that each takes to come is reported, and that it is one row."""
    iterator = iter(items)
    while True:
        with timed(report, stage) as work:
            item = next(iterator, END)
            work.rows = int(item is not END)
        if item is END:
            return
        yield cast(T, item)


def peak_bytes() -> int:
    """The most memory that this process has had, of its resident pages; 0 where there is no /proc.

    Unlike getrusage's, it does not include what the process had that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


@contextmanager
def timed(report: Reporter, stage: str) -> Iterator[Work]:
    """Time a piece of work and report it once it is done."""
    work = Work()
    start_s = time.perf_counter()
    yield work
    report(stage, work.rows, time.perf_counter() - start_s, work.num_bytes, work.counts)
