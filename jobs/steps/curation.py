"""The steps of a curation: each brings the tables nearer to what the recipe wants, and does only what is missing.

scan        inputs without a row: videos, clips, the measures of the decode pass
remeasure   clips whose measures were taken with other code or settings
settle      duplicates are grouped, clips judged, those still in are looked at by the dear measures and judged again
caption     kept clips without a caption; then captions are judged, old ones by the rules of now
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.console.progress import live_progress
from jobs.steps.records import last_run_broke_off, latest_recipe, new_run_id, write_run
from pipeline.caption.fingerprint import fingerprint
from pipeline.dedup.run import group_duplicates
from pipeline.ingest.inputs import ListedInput
from pipeline.measure.clip.run import clip_measure_fingerprints
from pipeline.measure.registry import stream_fingerprints
from pipeline.rules.captions import judge_dataset_captions, write_caption_decisions
from pipeline.rules.clips import judge_dataset, write_decisions
from pipeline.store.dataset import Dataset
from pipeline.store.pending import pending_inputs, to_caption, to_measure, to_remeasure
from pipeline.store.views import funnel, write_portable_views
from schemas.recipe import Recipe

Stages = dict[str, dict[str, Any]]
Describe = Callable[[Stages], str]


@dataclass
class Curation:
    """One run over a data set. `before_captions` is called once, before the first caption is made."""

    dataset: Dataset
    recipe: Recipe
    before_captions: Callable[[], None]
    job: str = "curate"
    stages: Stages = field(default_factory=dict)

    _run_id: str | None = None
    _is_stale: bool = False
    """Something has changed since duplicates were grouped."""

    def run(self, inputs: Sequence[ListedInput]) -> int:
        """Take every step and record the run if there was anything to do; returns how many inputs were new."""
        start_s = time.perf_counter()
        self._is_stale = last_run_broke_off(self.dataset)
        if latest_recipe(self.dataset) != self.recipe:
            self._begin()
        num_new = self.scan(inputs)
        self.remeasure()
        self.settle()
        self.caption()
        self.settle_captions()
        self._end(start_s)
        return num_new

    def scan(self, inputs: Sequence[ListedInput]) -> int:
        pending = pending_inputs(self.dataset, inputs)
        num_new = len(pending.inputs)
        if num_new:
            from pipeline.ray_graphs.scan import scan_graph

            self._run_graph(
                lambda report: scan_graph(self.dataset, pending, self.recipe, report),
                lambda stages: _scan_line(stages, num_new),
            )
        return num_new

    def remeasure(self) -> None:
        wanted = to_remeasure(self.dataset, stream_fingerprints(self.recipe.measure))
        if wanted:
            from pipeline.ray_graphs.measure import remeasure_graph

            self._run_graph(
                lambda report: remeasure_graph(self.dataset, wanted, self.recipe, report),
                lambda stages: f"measured again: videos {_rows(stages, 'remeasure')}/{len(wanted)}",
            )

    def settle(self) -> None:
        """Judge, look at what is still in, and judge again, until nothing is left to look at.

        A clip may come back in when the one it doubled is rejected after all, so this can take several rounds.
        """
        fingerprints = clip_measure_fingerprints(self.recipe)
        while True:
            if self._is_stale:
                group_duplicates(self.dataset, self.recipe.duplicates)
                self._is_stale = False
            num_changed = write_decisions(self.dataset, judge_dataset(self.dataset, self.recipe), self.recipe)
            if num_changed:
                self._begin()
            clips = to_measure(self.dataset, fingerprints)
            if not clips:
                return
            self.look(clips, fingerprints)

    def look(self, clips: Sequence[Mapping[str, Any]], fingerprints: Mapping[str, str]) -> None:
        from pipeline.ray_graphs.measure import clip_measure_graph

        self._run_graph(
            lambda report: clip_measure_graph(self.dataset, clips, self.recipe, fingerprints, report),
            lambda stages: f"looked at {_count(stages, 'clips looked at')}/{len(clips)} clips",
        )

    def recaption(self) -> tuple[int, int]:
        """Take the last step alone and record the run; returns how many clips were captioned, and how many captions
        were judged otherwise than before."""
        start_s = time.perf_counter()
        standing = latest_recipe(self.dataset)
        if standing is None or standing.caption_rules != self.recipe.caption_rules:
            self._begin()
        num_clips, num_judged = self.caption(), self.settle_captions()
        self._end(start_s)
        return num_clips, num_judged

    def caption(self) -> int:
        if self.recipe.caption.backend == "none":
            return 0
        clips = to_caption(self.dataset, fingerprint(self.recipe.caption))
        if clips:
            from pipeline.ray_graphs.caption import caption_graph

            self.before_captions()
            self._run_graph(
                lambda report: caption_graph(self.dataset, clips, self.recipe, report),
                lambda stages: f"captions {_count(stages, 'captions ')}/{len(clips)}",
            )
        return len(clips)

    def settle_captions(self) -> int:
        """Judge all captions by the rules of now; returns how many were judged otherwise before."""
        rules = self.recipe.caption_rules
        num_changed = write_caption_decisions(self.dataset, judge_dataset_captions(self.dataset, rules), rules)
        if num_changed:
            self._begin()
        return num_changed

    def _begin(self) -> None:
        if self._run_id is None:
            self._run_id = new_run_id(self.job)
            self._is_stale = True
            write_run(self.dataset, self._run_id, self.job, self.recipe, state="running")

    def _end(self, start_s: float) -> None:
        if self._run_id is not None:
            write_portable_views(self.dataset)
            facts = {"stages": self.stages, "seconds": time.perf_counter() - start_s, "funnel": funnel(self.dataset)}
            write_run(self.dataset, self._run_id, self.job, self.recipe, state="done", facts=facts)

    def _run_graph(self, make: Callable[[Any], Any], describe: Describe) -> None:
        from pipeline.ray_graphs import cluster

        self._begin()
        self._is_stale = True
        cluster.connect()
        statistics = cluster.start_statistics()
        graph = make(cluster.ActorReporter(statistics))
        with live_progress(lambda: cluster.read_statistics(statistics), describe):
            cluster.drain(graph)
        for stage, totals in cluster.read_statistics(statistics).items():
            known = self.stages.setdefault(stage, {"rows": 0, "seconds": 0.0, "num_bytes": 0, "counts": {}})
            for name in ("rows", "seconds", "num_bytes"):
                known[name] += totals[name]
            for name, number in totals["counts"].items():
                known["counts"][name] = known["counts"].get(name, 0) + number


def _rows(stages: Stages, stage: str) -> int:
    return stages.get(stage, {"rows": 0})["rows"]


def _count(stages: Stages, prefix: str) -> int:
    return sum(n for totals in stages.values() for name, n in totals["counts"].items() if name.startswith(prefix))


def _scan_line(stages: Stages, num_inputs: int) -> str:
    scan = stages.get("scan", {"rows": 0, "seconds": 0.0})
    parts = [f"videos {scan['rows']}/{num_inputs}", f"clips {_count(stages, 'clips')}"]
    if failed := _count(stages, "videos failed"):
        parts.insert(1, f"{failed} failed")
    if scan["seconds"]:
        parts.append(f"{_count(stages, 'frames') / scan['seconds']:.0f} frames/s a task")
    return " | ".join(parts)
