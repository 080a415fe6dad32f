"""Stream measures side by side, over one pass of a video."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure import registry
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import columns_of


class StreamMeasures:
    """The measures named: each is given the frames that it wants."""

    def __init__(self, names: Collection[str], video: VideoFacts, config: MeasureConfig) -> None:
        self._names = frozenset(names)
        kinds = [kind for kind in registry.STREAM_KINDS if self._names.intersection(kind.covers)]
        self._measures = [kind.make(video, config) for kind in kinds]
        self._every_frame = [measure for measure in self._measures if measure.every_frame]

    def push(self, frame: StreamFrame, previous: StreamFrame | None, *, sampled: bool) -> None:
        """Take a frame; `previous` is the one just before it in the video."""
        for measure in self._measures if sampled else self._every_frame:
            measure.push(frame, previous)

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        """All columns of the measures named, for one span out of all `spans` of the video."""
        found: dict[str, Any] = {}
        for measure in self._measures:
            found |= measure.scores(span, spans)
        wanted = {column for name in self._names for column in columns_of(name)}
        return {column: value for column, value in found.items() if column in wanted}
