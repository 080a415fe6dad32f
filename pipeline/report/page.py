"""The page: its content is collected from the data set, then one template turns it into HTML.

URIs and captions are text from outside. The template escapes every value, and a Content-Security-Policy in the page's
head forbids scripts and all requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import duckdb
import jinja2

from pipeline.release import diff
from pipeline.release.diff import Differences
from pipeline.report import facts
from pipeline.report.axes import number
from pipeline.report.caption_pairs import captioner_pairs, captioner_summaries, release_pairs, release_summaries
from pipeline.report.contact_sheets import rule_sheets
from pipeline.report.duplicates import Choice, duplicate_groups
from pipeline.report.galleries import kept_gallery, other_galleries, select_evenly
from pipeline.report.histograms import by_measure, score_histograms
from pipeline.report.labels import camera_chart, label_charts
from pipeline.report.pictures import PictureCollector, Progress
from pipeline.report.plots import histogram_svg
from pipeline.report.thresholds import label, thresholds_of
from pipeline.report.timelines import timelines
from pipeline.report.training import LossCurve, Sample
from pipeline.rules.clips import judge_clips
from pipeline.store.active_recipe import active_recipe
from pipeline.store.dataset import Dataset
from pipeline.store.views import DERIVED_CATALOGUE, connect
from schemas.recipe import Recipe
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.rules import CAPTION_COLUMNS, CLIP_COLUMNS, DUPLICATE_RANK
from schemas.tables.duplicates import DUPLICATE_KINDS

NOT_SHOWN = ("video_hash", "video_hash_times_us", "overlay_texts")
"""Columns that the page does not need; some are large."""


@dataclass(frozen=True)
class ReportConfig:
    """What the page shows."""

    num_clips: int = 60
    """At most this many kept clips, clips of each reason that no rule gives, and failed videos."""
    num_near: int = 9
    """At most this many clips on each side of a rule's threshold."""
    num_videos: int = 6
    """At most this many timelines."""
    num_groups: int = 12
    """At most this many groups of duplicates."""
    num_captions: int = 24
    """At most this many clips with two captions side by side."""
    curve: LossCurve | None = None
    """Losses of a training run."""
    sample: Sample | None = None
    """A sampled video or image to embed."""


def report_page(dataset: Dataset, config: ReportConfig, progress: Progress = lambda: None) -> str:
    """The whole page as HTML."""
    return _render("page.html", _content(dataset, config, progress))


def diff_page(dataset: Dataset, found: Differences, num_captions: int, progress: Progress = lambda: None) -> str:
    """The differences between two releases as HTML, with at most `num_captions` clips whose captions differ."""
    connection, collector = _tables(dataset), PictureCollector()
    content = {"location": dataset.location, **_differences(connection, found, num_captions, collector)}
    return _render("diff.html", content | {"pictures": collector.style_sheet(progress), "unread": collector.failures})


def _render(template: str, content: Mapping[str, Any]) -> str:
    folder = resources.files("pipeline.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "label": label}
    return environment.get_template(template).render(content)


def _content(dataset: Dataset, config: ReportConfig, progress: Progress) -> dict[str, Any]:
    connection, collector = _tables(dataset), PictureCollector()
    active = active_recipe(dataset)
    recipe = active or Recipe(duplicates=DuplicatesConfig(kinds=DUPLICATE_KINDS))
    limits = thresholds_of(recipe.rules)
    content = {
        "location": dataset.location,
        "recipe_name": active.name if active else None,
        "funnel": facts.funnel_bars(connection),
        "draw": histogram_svg,
        "kept": kept_gallery(connection, config.num_clips, progress),
        "curve": config.curve,
        "sample": config.sample,
        **_runs(dataset.runs()),
        **_scores(connection, recipe),
        **_rules(connection, config, active, collector),
        **_rejects(connection, config, recipe, progress),
        **_duplicates(connection, config, recipe, collector),
        **_captioners(connection, config, collector),
        **_releases(dataset, connection, config, collector),
    }
    content["timelines"], content["num_videos"] = timelines(connection, config.num_videos, limits, collector)
    # Last, because every section adds the pictures that it shows.
    return content | {"pictures": collector.style_sheet(progress), "unread": collector.failures}


def _tables(dataset: Dataset) -> duckdb.DuckDBPyConnection:
    """The data set's views; `clips`, which many queries read, is computed once and stored as a table."""
    connection = connect(dataset)
    connection.execute(
        f"create temp table clips as select * exclude ({', '.join(NOT_SHOWN)}) from {DERIVED_CATALOGUE}.main.clips"
    )
    return connection


def _runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    listed, num_earlier = facts.run_facts(runs)
    return {"runs": listed, "num_earlier_runs": num_earlier, "versions": runs[-1]["versions"] if runs else {}}


def _scores(connection: duckdb.DuckDBPyConnection, recipe: Recipe) -> dict[str, Any]:
    schema = CLIP_COLUMNS.remove(CLIP_COLUMNS.get_field_index(DUPLICATE_RANK.name))
    clips = score_histograms(connection, "clips", schema, thresholds_of(recipe.rules))
    captions = score_histograms(connection, "captions", CAPTION_COLUMNS, thresholds_of(recipe.caption_rules))
    return {
        "scores": by_measure(clips),
        "unmeasured": [score.column for score in clips if score.histogram is None],
        "caption_scores": captions,
        "labels": label_charts(connection),
        "camera": camera_chart(connection),
    }


def _rules(
    connection: duckdb.DuckDBPyConnection, config: ReportConfig, active: Recipe | None, collector: PictureCollector
) -> dict[str, Any]:
    verdicts = judge_clips(connection, active) if active else None
    return {"sheets": rule_sheets(verdicts, config.num_near, collector) if verdicts else []}


def _rejects(
    connection: duckdb.DuckDBPyConnection, config: ReportConfig, recipe: Recipe, progress: Progress
) -> dict[str, Any]:
    limits = thresholds_of(recipe.rules)
    of_rules = {rule.reason for rule in recipe.rules.values()}
    failed, num_failed = select_evenly(connection, "videos", "status = 'failed'", "reason, uri", config.num_clips)
    return {
        "reasons": facts.reasons(connection, "clips", limits),
        "caption_reasons": facts.reasons(connection, "captions", thresholds_of(recipe.caption_rules)),
        "others": other_galleries(connection, config.num_clips, limits, of_rules, progress),
        "failed_videos": failed,
        "num_failed_videos": num_failed,
    }


def _duplicates(
    connection: duckdb.DuckDBPyConnection, config: ReportConfig, recipe: Recipe, collector: PictureCollector
) -> dict[str, Any]:
    reasons = {rule.reason for rule in recipe.rules.values() if rule.column == DUPLICATE_RANK.name}
    choice = Choice(recipe.duplicates.kinds, recipe.duplicates.keep, reasons)
    groups, num_groups = duplicate_groups(connection, config.num_groups, choice, collector)
    return {"groups": groups, "num_groups": num_groups}


def _captioners(
    connection: duckdb.DuckDBPyConnection, config: ReportConfig, collector: PictureCollector
) -> dict[str, Any]:
    captioners = captioner_summaries(connection)
    pairs = captioner_pairs(connection, captioners, config.num_captions, collector)
    return {"captioners": captioners, "caption_pairs": pairs}


def _releases(
    dataset: Dataset, connection: duckdb.DuckDBPyConnection, config: ReportConfig, collector: PictureCollector
) -> dict[str, Any]:
    last = diff.latest_two(dataset)
    content: dict[str, Any] = {"releases": facts.release_facts(dataset), "differences": None}
    if last:
        content |= _differences(connection, diff.compare(dataset, *last), config.num_captions, collector)
    return content


def _differences(
    connection: duckdb.DuckDBPyConnection, found: Differences, num_captions: int, collector: PictureCollector
) -> dict[str, Any]:
    return {
        "differences": found,
        "release_captioners": release_summaries(connection, found),
        "release_pairs": release_pairs(connection, found, num_captions, collector),
    }
