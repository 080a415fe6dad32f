"""Stream measures taken again, of clips that are in the tables already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.decode import probe
from pipeline.decode.clip_frames import limits_of
from pipeline.decode.frame import Span
from pipeline.decode.reader import FrameReader, open_video
from pipeline.ingest.failures import Failure, MediaError
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.scan.single_pass import run_pass
from pipeline.store.retrying import NOT_FAILED, failure_columns
from schemas import MEASURES
from schemas.columns import Table
from schemas.recipe import Recipe
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import columns_of


def remeasured(clips: Sequence[Mapping[str, Any]], recipe: Recipe) -> dict[Table, pa.Table]:
    """Rows of what one video's clips lack, taken in one pass for all that lack the same; a video that no longer reads
    is a failure in the rows.

    Args:
        clips: with `needs`, the fingerprint that each measure they lack is to have, and `failures`.
    """
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    groups: dict[tuple, list[Mapping[str, Any]]] = defaultdict(list)
    for clip in clips:
        groups[tuple(clip["needs"].items())].append(clip)
    for needs, alike in groups.items():
        for name, of_measure in _of_group(alike, dict(needs), recipe).items():
            rows[name] += of_measure
    return {MEASURES[name]: MEASURES[name].unstamped(of_measure) for name, of_measure in rows.items()}


def _of_group(
    clips: Sequence[Mapping[str, Any]], needs: Mapping[str, str], recipe: Recipe
) -> dict[str, list[dict[str, Any]]]:
    failure: Failure | None = None
    scores: list[dict[str, Any]] = [{} for _ in clips]
    try:
        scores = isolated(limits_of(recipe.limits), remeasure, clips[0]["uri"], clips, list(needs), recipe.measure)
    except (OSError, MediaError, ChildDied) as error:
        failure = Failure.of(error)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in needs}
    for name, fingerprint in needs.items():
        for clip, found in zip(clips, scores, strict=True):
            row = {"clip_id": clip["clip_id"], "measure": fingerprint, "shown_box": None, **NOT_FAILED}
            if failure:
                before, limit = clip["failures"][name], recipe.limits.max_failures
                row |= failure_columns(str(failure), before, limit, transient=failure.transient)
            rows[name].append(row | {column: found.get(column) for column in columns_of(name)})
    return rows


def remeasure(
    uri: str, clips: Sequence[Mapping[str, Any]], names: Collection[str], config: MeasureConfig
) -> list[dict[str, Any]]:
    """Take some measures again of clips of one video, in one pass; the scores of each clip, in their order.

    Raises:
        OSError: the file cannot be read.
        MediaError: nothing in it decodes.
    """
    with local_copy(uri, hashed=False) as local:
        container, stream = open_video(local.path)
        with container:
            reader = FrameReader(container, stream, prefetch=True, motion_vectors="motion" in names)
            _, measures = run_pass(reader, probe.header_facts(container, stream), names, config)
    if measures is None:
        raise MediaError("no_frames", f"{reader.num_refused} packets refused")
    spans = [
        Span(c["shot_index"], c["start_frame"], c["start_frame"] + c["num_frames"], c["start_us"], c["end_us"])
        for c in clips
    ]
    return [measures.scores(span, spans) for span in spans]
