"""The measures by name: what makes each, and the fingerprint that says whether a score is still the one wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.decode.frame import Span, StreamFrame, StreamMeasure, VideoFacts
from pipeline.measure.stream import letterbox, motion, video_hash
from pipeline.measure.stream.technical import measure as technical
from pipeline.measure.stream.tells import measure as tells
from schemas.identity import digest
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import STREAM_MEASURES


@dataclass(frozen=True)
class StreamKind:
    """How the measures of one pass over the frames are made; one object may give the columns of several."""

    covers: tuple[str, ...]
    make: Callable[[VideoFacts, MeasureConfig], StreamMeasure]
    version: int


STREAM_KINDS: tuple[StreamKind, ...] = (
    StreamKind(("technical",), technical.TechnicalMeasure, technical.VERSION),
    StreamKind(("motion", "camera"), motion.MotionMeasure, motion.VERSION),
    StreamKind(("letterbox",), letterbox.LetterboxMeasure, letterbox.VERSION),
    StreamKind(("tells",), tells.TellsMeasure, tells.VERSION),
    StreamKind(("fingerprint",), video_hash.FingerprintMeasure, video_hash.VERSION),
)


def stream_fingerprints(config: MeasureConfig) -> dict[str, str]:
    """The fingerprint of each measure of the decode pass."""
    settings = asdict(config)
    return {name: digest(name, kind.version, settings) for kind in STREAM_KINDS for name in kind.covers}


class StreamMeasures:
    """Some measures side by side: each is given the frames that it wants."""

    def __init__(self, names: Collection[str], video: VideoFacts, config: MeasureConfig) -> None:
        self._names = frozenset(names)
        kinds = [kind for kind in STREAM_KINDS if self._names.intersection(kind.covers)]
        self._measures = [kind.make(video, config) for kind in kinds]
        self._every_frame = [measure for measure in self._measures if measure.every_frame]

    def push(self, frame: StreamFrame, previous: StreamFrame | None, *, looked_at: bool) -> None:
        for measure in self._measures if looked_at else self._every_frame:
            measure.push(frame, previous)

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        """All columns of the measures named, for one span."""
        found: dict[str, Any] = {}
        for measure in self._measures:
            found |= measure.scores(span, spans)
        wanted = {name for measure in self._names for name in COLUMNS[measure]}
        return {name: value for name, value in found.items() if name in wanted}


COLUMNS: dict[str, tuple[str, ...]] = {
    name: tuple(row_type.__dataclass_fields__) for name, row_type in STREAM_MEASURES.items()
}
"""The columns of each measure of the decode pass."""
