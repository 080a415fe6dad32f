"""Measures of the decode pass taken again, of clips that are in the tables already."""

from __future__ import annotations

import time
from typing import Any

from pipeline.decode.clip_frames import limits_of
from pipeline.decode.reader import MediaError
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.measure.registry import COLUMNS, stream_fingerprints
from pipeline.scan.scan import remeasure
from pipeline.store.dataset import Dataset
from pipeline.store.pending import Remeasuring
from schemas import MEASURES
from schemas.recipe import Recipe


def write_remeasured(dataset: Dataset, wanted: Remeasuring, recipe: Recipe) -> None:
    """Take what is lacking of one video's clips, in one pass; a video that no longer reads is a failure in the rows."""
    failure: str | None = None
    scores: list[dict[str, Any]] = [{} for _ in wanted.clips]
    try:
        scores = isolated(
            limits_of(recipe.limits), remeasure, wanted.uri, wanted.clips, wanted.measures, recipe.measure
        )
    except (OSError, MediaError, ChildDied) as error:
        failure = str(error)
    fingerprints = stream_fingerprints(recipe.measure)
    now_us = time.time_ns() // 1000
    for name in wanted.measures:
        rows = [
            {"clip_id": clip["clip_id"], "measure": fingerprints[name], "measured_us": now_us, "failure": failure}
            | {column: found.get(column) for column in COLUMNS[name]}
            for clip, found in zip(wanted.clips, scores, strict=True)
        ]
        dataset.write_part(MEASURES[name], rows)
