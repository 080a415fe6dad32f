"""Counts of text labels by status, and the strength of the camera motion for each of its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from pipeline.report.axes import number
from schemas.rules import CLIP_COLUMNS
from schemas.tables.clips import FAILED, KEPT, PENDING, REJECTED

STATUSES = (KEPT, REJECTED, FAILED, PENDING)
LABELS = ("overlay_kind", "border_kind", "bars_change")
"""Columns whose values are labels; `camera_motion` has a chart of its own."""
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class LabelBar:
    """The number of clips with a label, by status."""

    label: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class LabelChart:
    """The labels of a column, most frequent first."""

    column: str
    doc: str
    bars: Sequence[LabelBar]
    num_missing: int

    @property
    def scale(self) -> int:
        return max(bar.total for bar in self.bars)


@dataclass(frozen=True)
class Strengths:
    """The strengths of one camera motion: their quantiles, and the positions of these on the chart's axis, 0 to 1."""

    quantiles: Sequence[float]
    places: Sequence[float]


@dataclass(frozen=True)
class CameraChart:
    """Clips by camera motion, and the strength of each motion, on an axis from 0 to `max_strength`."""

    labels: LabelChart
    strengths: Mapping[str, Strengths]
    max_strength: str
    unit: str


def label_charts(connection: duckdb.DuckDBPyConnection) -> list[LabelChart]:
    """A chart for each label column in which at least one clip has a value."""
    return [chart for column in LABELS if (chart := label_chart(connection, column)).bars]


def label_chart(connection: duckdb.DuckDBPyConnection, column: str) -> LabelChart:
    rows = connection.execute(f"select {column}::varchar, status, count(*) from clips group by all").fetchall()
    counts: dict[str, dict[str, int]] = {}
    for label, status, num_clips in rows:
        if label is not None:
            counts.setdefault(label, dict.fromkeys(STATUSES, 0))[status] = num_clips
    bars = sorted((LabelBar(*item) for item in counts.items()), key=lambda bar: (-bar.total, bar.label))
    num_missing = sum(num_clips for label, _, num_clips in rows if label is None)
    return LabelChart(column, _metadata(column, b"doc"), bars, num_missing)


def camera_chart(connection: duckdb.DuckDBPyConnection) -> CameraChart | None:
    """The chart of camera motions; None if no clip has one."""
    labels = label_chart(connection, "camera_motion")
    if not labels.bars:
        return None
    rows = connection.execute(
        "select camera_motion, quantile_cont(camera_strength, ?) from clips"
        " where camera_motion is not null and camera_strength is not null group by 1",
        [list(QUANTILES)],
    ).fetchall()
    longest = max((quantiles[-1] for _, quantiles in rows), default=0.0)
    scale = float(np.sqrt(longest)) or 1.0
    strengths = {
        label: Strengths(quantiles, [float(np.sqrt(value)) / scale for value in quantiles]) for label, quantiles in rows
    }
    return CameraChart(labels, strengths, number(longest), _metadata("camera_strength", b"unit"))


def _metadata(column: str, key: bytes) -> str:
    return (CLIP_COLUMNS.field(column).metadata or {})[key].decode()
