"""The page: everything that is to be said of a data set is gathered, then one template writes it.

The template escapes every value. Addresses and captions are other people's text; a content policy in the page's head
forbids scripts and every request besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2

from pipeline.dataset import Dataset
from pipeline.query import connect
from pipeline.report import facts
from pipeline.report.axes import number
from pipeline.report.galleries import Progress, kept_gallery, rejected_galleries, spread
from pipeline.report.histograms import score_histograms
from pipeline.report.plots import histogram_svg
from pipeline.report.thresholds import newest_recipe, thresholds_in
from pipeline.report.training import LossCurve, Sample
from schemas import CAPTIONS, CLIPS


@dataclass(frozen=True)
class ReportConfig:
    """What the page holds."""

    num_clips: int = 60
    """At most this many kept clips, clips of a reason, and failed videos are shown."""
    curve: LossCurve | None = None
    """Losses of a training run."""
    sample: Sample | None = None
    """A sampled video or image to embed."""


def report_page(dataset: Dataset, config: ReportConfig, progress: Progress = lambda: None) -> str:
    """The whole page as HTML."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    template = (resources.files("pipeline.report") / "page.html").read_text()
    return environment.from_string(template).render(_content(dataset, config, progress))


def _content(dataset: Dataset, config: ReportConfig, progress: Progress) -> dict[str, Any]:
    connection = connect(dataset)
    runs = dataset.runs()
    recipe = newest_recipe(runs)
    clip_limits, caption_limits = thresholds_in(recipe, "rules"), thresholds_in(recipe, "caption_rules")
    scores = [
        *score_histograms(connection, CLIPS, clip_limits),
        *score_histograms(connection, CAPTIONS, caption_limits),
    ]
    listed_runs, num_earlier_runs = facts.run_facts(runs)
    failed, num_failed = spread(connection, "videos", "status = 'failed'", "reason, uri", config.num_clips)
    return {
        "location": dataset.location,
        "recipe_name": recipe.get("name"),
        "versions": runs[-1]["versions"] if runs else {},
        "runs": listed_runs,
        "num_earlier_runs": num_earlier_runs,
        "funnel": facts.funnel_bars(connection),
        "reasons": facts.reasons(connection, "clips", clip_limits),
        "caption_reasons": facts.reasons(connection, "captions", caption_limits),
        "scores": scores,
        "draw": histogram_svg,
        "kept": kept_gallery(connection, config.num_clips, progress),
        "rejected": rejected_galleries(connection, config.num_clips, clip_limits, progress),
        "failed_videos": failed,
        "num_failed_videos": num_failed,
        "curve": config.curve,
        "sample": config.sample,
        "releases": facts.release_facts(dataset),
    }
