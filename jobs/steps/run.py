"""A run over a data set: graphs with a live line and their totals, and the record that is kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jobs.console.progress import live_progress
from jobs.steps.records import new_run_id, write_run
from pipeline.store.dataset import Dataset
from pipeline.store.part_writer import PartWriter
from schemas.columns import Table
from schemas.recipe import Recipe

Stages = dict[str, dict[str, Any]]
"""Totals of each stage by its name, as `StageTotals` holds them."""


@dataclass
class Run:
    """A run that is recorded from the first thing on that it changes; one that changes nothing leaves no record."""

    dataset: Dataset
    """Stamps what it writes with the run."""
    job: str
    recipe: Recipe
    stages: Stages = field(default_factory=dict)
    """Totals of the graphs that have ended."""

    _has_begun: bool = False
    _statistics: Any = None
    """The actor to which the graphs of the run report; one for all, as each takes seconds to start."""
    _start_s: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.dataset = replace(self.dataset, run_id=new_run_id(self.job))

    def begin(self) -> None:
        """Record that the run has begun, if that has not been done."""
        if not self._has_begun:
            self._has_begun = True
            write_run(self.dataset, self.dataset.run_id, self.job, self.recipe, state="running")

    def graph(
        self,
        make: Callable[[Any], Any],
        describe: Callable[[Stages], str],
        take: Callable[[Any], None],
    ) -> None:
        """Run a graph to its end, on Ray.

        Args:
            make: from a reporter to the graph.
            describe: from the totals of the graph so far to the line that is shown.
            take: is given each value that the graph gives.
        """
        from pipeline.ray_graphs import cluster

        self.begin()
        cluster.connect()
        if self._statistics is None:
            self._statistics = cluster.start_statistics()
        statistics = self._statistics
        graph, before = make(cluster.ActorReporter(statistics)), self.stages
        with live_progress(lambda: _since(before, cluster.read_statistics(statistics)), describe):
            cluster.drain(graph, take)
        self.stages = cluster.read_statistics(statistics)

    def write(
        self, make: Callable[[Any], Any], describe: Callable[[Stages], str], tables: Sequence[Table] = ()
    ) -> None:
        """Run a graph that gives rows of some tables, and write those as they come.

        Args:
            tables: in the order in which they are written: what says that other rows are there comes after them.
        """
        with PartWriter(self.dataset, tables) as writer:
            self.graph(make, describe, writer.add)

    def end(self, **facts: Any) -> None:
        """Record that the run is done, with facts about it, if it has begun."""
        if self._has_begun:
            facts = {"stages": self.stages, "seconds": time.perf_counter() - self._start_s, **facts}
            write_run(self.dataset, self.dataset.run_id, self.job, self.recipe, state="done", facts=facts)

    @property
    def has_begun(self) -> bool:
        return self._has_begun


def _since(before: Stages, now: Stages) -> Stages:
    """What totals have grown by."""
    return {stage: _grown(before[stage], totals) if stage in before else totals for stage, totals in now.items()}


def _grown(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    counts = {name: number - before["counts"].get(name, 0) for name, number in now["counts"].items()}
    return {name: now[name] - before[name] for name in ("rows", "seconds", "num_bytes")} | {"counts": counts}
