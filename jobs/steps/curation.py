"""The steps of a curation: each brings the tables nearer to what the recipe wants, and does only what is missing.

scan             inputs without a row: videos, clips, stream measures
remeasure        clips whose stream measures were taken with other code or settings
judge_clips      duplicates are grouped and clips judged; those still in get the clip measures, and are judged again
caption          kept clips without a caption
check_captions   captions that other code has checked; all captions of a captioner against each other, where one was
                 added or changed
judge_captions   all captions, old ones too, by the rules of this recipe
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from jobs.steps.captioning import tell_of_unchecked
from jobs.steps.progress_lines import (
    caption_check_line,
    caption_line,
    clip_measure_line,
    identify_line,
    remeasure_line,
    scan_line,
)
from jobs.steps.run import Run, Stages
from pipeline.caption.checks.measure import VERSION
from pipeline.caption.fingerprint import fingerprint
from pipeline.caption.identity.check import check_captions, pending_checks
from pipeline.dedup.dataset import group_duplicates
from pipeline.measure.registry import clip_measure_fingerprints, stream_fingerprints
from pipeline.rules.captions import judge_captions
from pipeline.rules.clips import judge_clips
from pipeline.rules.decisions import write_decisions
from pipeline.split.fingerprint import split_fingerprint
from pipeline.store.active_recipe import JUDGES_CAPTIONS, active_recipe, last_run_broke_off
from pipeline.store.dataset import Dataset
from pipeline.store.manifest import write_manifest
from pipeline.store.pending import (
    groups_are_pending,
    pending_caption_checks,
    pending_captions,
    pending_clip_measures,
    pending_stream_measures,
)
from pipeline.store.pending_inputs import IDENTIFIED, InputStates
from pipeline.store.plans import Plan
from pipeline.store.portions import bounded
from pipeline.store.retrying import Retrying
from pipeline.store.views import funnel, write_portable_views
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, MEASURES, VIDEOS
from schemas.columns import Table
from schemas.recipe import Recipe


@dataclass
class Curation:
    """One run over a data set. `before_captions` is called once, before the first caption is made."""

    dataset: Dataset
    recipe: Recipe
    before_captions: Callable[[], None]
    job: str = "curate"
    retry_failed: bool = False
    """Whether what has failed for what it holds, or was given up, is tried again."""

    _run: Run = field(init=False)
    _must_group: bool = False
    """Rows have been added since duplicates were grouped, or the last run did not get so far."""

    def __post_init__(self) -> None:
        self._run = Run(self.dataset, self.job, self.recipe)
        self.dataset = self._run.dataset
        self._retrying = Retrying.of(self.recipe.limits, self.dataset.run_id, all_failures=self.retry_failed)

    @property
    def stages(self) -> Stages:
        """Totals of each stage."""
        return self._run.stages

    def run(self, inputs: pa.Table) -> int:
        """Take every step, and record the run if there was anything to do; returns how many inputs were new."""
        self._must_group = groups_are_pending(self.dataset, self.recipe)
        if self._must_group or last_run_broke_off(self.dataset, JUDGES_CAPTIONS):
            self._run.begin()  # at the end of which manifest/ is written
        num_new = self.scan(inputs)
        self.remeasure()
        self.judge_clips()
        self.caption()
        self.check_captions()
        self.judge_captions()
        self._end()
        return num_new

    def recaption(self) -> tuple[int, int]:
        """Take the steps on captions alone and record the run; returns how many clips were captioned, and how many
        captions were judged otherwise than before."""
        active = active_recipe(self.dataset)
        has_new_rules = active is None or active.caption_rules != self.recipe.caption_rules
        if has_new_rules or last_run_broke_off(self.dataset, JUDGES_CAPTIONS):
            self._run.begin()
        num_clips = self.caption()
        self.check_captions()
        num_changed = self.judge_captions()
        self._end()
        return num_clips, num_changed

    def scan(self, inputs: pa.Table) -> int:
        """Returns how many inputs were new."""
        states = InputStates(self.dataset, inputs, split_fingerprint(self.recipe.split), self._retrying)
        identified = self._identified(states.to_identify())
        num_new = 0
        while True:
            pending = states.pending(identified)
            self._write_videos(pending.relocated)
            self._write_videos(pending.retold)
            num_new += pending.num_listed
            if not pending.to_scan:
                return num_new
            from pipeline.ray_graphs.scan import scan_graph

            make = partial(scan_graph, pending.to_scan, self.recipe)
            self._carry_out(pending.to_scan, make, scan_line(len(pending.to_scan)), (CLIPS, VIDEOS))

    def _identified(self, inputs: Plan) -> pa.Table:
        """The hashes of the bytes of inputs; null where they cannot be read."""
        batches: list[pa.Table] = []
        if inputs:
            from pipeline.ray_graphs.scan import identify_graph

            def take(rows: list[dict[str, str]]) -> None:
                batches.append(pa.Table.from_pylist(rows, schema=IDENTIFIED))

            self._run.graph(partial(identify_graph, inputs), identify_line(len(inputs)), take)
            inputs.delete()
        return pa.concat_tables([IDENTIFIED.empty_table(), *batches]).combine_chunks()

    def _write_videos(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._run.begin()
            self.dataset.write_table(VIDEOS, rows)

    def remeasure(self) -> None:
        fingerprints = stream_fingerprints(self.recipe.measure)
        clips = pending_stream_measures(self.dataset, fingerprints, self._retrying)
        if clips:
            from pipeline.ray_graphs.measure import remeasure_graph

            tables = [MEASURES[name] for name in fingerprints]
            self._carry_out(
                clips, partial(remeasure_graph, clips, self.recipe), remeasure_line(clips.num_videos), tables
            )

    def judge_clips(self) -> None:
        """Group, judge, measure what is still in, until nothing is left to measure.

        A clip may come back in when the one that it duplicates is rejected after all, so this can take several rounds.
        """
        while True:
            if self._must_group:
                group_duplicates(self.dataset, self.recipe.duplicates)
                self._must_group = False
            if write_decisions(self.dataset, judge_clips(bounded(self.dataset), self.recipe), self.recipe):
                self._run.begin()
            if not self.measure_clips():
                return

    def measure_clips(self) -> int:
        """Returns how many clips lacked a clip measure."""
        fingerprints = clip_measure_fingerprints(self.recipe)
        clips = pending_clip_measures(self.dataset, fingerprints, self._retrying)
        if clips:
            from pipeline.ray_graphs.measure import clip_measure_graph

            make = partial(clip_measure_graph, clips, self.recipe, fingerprints)
            tables = [EMBEDDINGS, *(MEASURES[name] for name in fingerprints)]
            self._carry_out(clips, make, clip_measure_line(len(clips)), tables)
        return len(clips)

    def caption(self) -> int:
        """Returns how many clips were captioned."""
        if self.recipe.caption.backend == "none":
            return 0
        clips = pending_captions(self.dataset, self.recipe.caption, fingerprint(self.recipe.caption), self._retrying)
        if clips:
            from pipeline.ray_graphs.caption import caption_graph

            self.before_captions()
            self._carry_out(clips, partial(caption_graph, clips, self.recipe), caption_line(len(clips)), [CAPTIONS])
        return len(clips)

    def check_captions(self) -> None:
        captions = pending_caption_checks(self.dataset, VERSION)
        if captions:
            from pipeline.ray_graphs.caption import caption_check_graph

            make = partial(caption_check_graph, captions, self.recipe)
            self._run.write(make, caption_check_line(len(captions)), [CAPTIONS])
            captions.delete()
        if pending := pending_checks(self.dataset):
            self._run.begin()
            tell_of_unchecked(check_captions(self.dataset, pending))

    def judge_captions(self) -> int:
        """Returns how many captions were judged otherwise than before."""
        verdicts = judge_captions(bounded(self.dataset), self.recipe)
        if write_decisions(self.dataset, verdicts, self.recipe):
            self._run.begin()
        return verdicts.num_judged_otherwise

    def _carry_out(
        self, plan: Plan, make: Callable[[Any], Any], describe: Callable[[Stages], str], tables: Sequence[Table]
    ) -> None:
        self._run.write(make, describe, tables)
        plan.delete()
        self._must_group = True

    def _end(self) -> None:
        if self._run.has_begun:
            write_portable_views(self.dataset)
            write_manifest(self.dataset)
            self._run.end(funnel=funnel(self.dataset))
