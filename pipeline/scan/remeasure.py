"""Stream measures taken again, of clips that are in the tables already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.decode import probe
from pipeline.decode.clip_frames import limits_of
from pipeline.decode.frame import Span
from pipeline.decode.reader import FrameReader, open_video
from pipeline.ingest.failures import Failure, MediaError
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.scan.single_pass import run_pass
from pipeline.store.dataset import Dataset
from pipeline.store.pending import PendingStreamMeasures
from pipeline.store.retrying import NOT_FAILED, failure_columns
from schemas import MEASURES
from schemas.recipe import Recipe
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import columns_of


def write_remeasured(dataset: Dataset, pending: PendingStreamMeasures, recipe: Recipe) -> None:
    """Take what one video's clips lack, in one pass; a video that no longer reads is a failure in the rows."""
    failure: Failure | None = None
    scores: list[dict[str, Any]] = [{} for _ in pending.clips]
    names = list(pending.measures)
    try:
        scores = isolated(limits_of(recipe.limits), remeasure, pending.uri, pending.clips, names, recipe.measure)
    except (OSError, MediaError, ChildDied) as error:
        failure = Failure.of(error)
    for name, fingerprint in pending.measures.items():
        rows = []
        for clip, found in zip(pending.clips, scores, strict=True):
            row = {"clip_id": clip["clip_id"], "measure": fingerprint, "shown_box": None, **NOT_FAILED}
            if failure:
                before, limit = clip["failures"][name], recipe.limits.max_failures
                row |= failure_columns(str(failure), before, limit, transient=failure.transient)
            rows.append(row | {column: found.get(column) for column in columns_of(name)})
        dataset.write_part(MEASURES[name], rows)


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
