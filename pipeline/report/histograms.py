"""Histograms of scores by status. Every row is in a bin, or counted as a row without a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.report.axes import Axis, choose_axis
from schemas.rules import Threshold
from schemas.tables.captions import OK
from schemas.tables.clips import FAILED, KEPT, PENDING, REJECTED
from schemas.tables.measures import MEASURE_OF

NUM_BINS = 36
NOT_SCORES = frozenset(
    (
        *("shot_index", "start_frame", "start_us", "end_us", "written_us"),
        *("num_failures", "batch_place", "contradicted_when_written", "checks_version"),
    )
)
"""Numeric columns that identify a row or its time, or that views do not have."""
STATUSES = {"clips": (KEPT, REJECTED, FAILED, PENDING), "captions": (OK, REJECTED, FAILED, PENDING)}
THE_CLIP = "the clip itself"
"""Heading of the scores that come from no measure, such as the duration."""


@dataclass(frozen=True)
class Bin:
    """Rows by status with a value in [low, high); the bin of zero on a logarithmic axis has low = high = 0."""

    low: float
    high: float
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Histogram:
    """Bins along an axis, and the rows that have no value."""

    axis: Axis
    bins: Sequence[Bin]
    num_missing: int


@dataclass(frozen=True)
class ScoreHistogram:
    """A column's histogram, with its meaning and unit from the schema; `histogram` is None if no row has a value."""

    table: str
    column: str
    doc: str
    unit: str
    thresholds: Sequence[Threshold]
    num_missing: int
    histogram: Histogram | None


def histogram(values: Mapping[str, np.ndarray], marks: Sequence[float] = (), *, is_integer: bool = False) -> Histogram:
    """Sort values into bins.

    Args:
        values: for each status, (N,) floats; NaN and infinities count as missing.
        marks: thresholds that should be on the axis.
        is_integer: if the axis is linear, bins are centred on whole numbers and a whole number wide.
    Raises:
        ValueError: there is no finite value.
    """
    finite = {status: array[np.isfinite(array)] for status, array in values.items()}
    everything = np.concatenate(list(finite.values()))
    if not len(everything):
        raise ValueError("no finite value")
    axis = choose_axis(everything, marks)
    edges = _edges(axis, is_integer)
    axis = replace(axis, low=float(edges[0]), high=float(edges[-1]), is_integer=is_integer and not axis.is_log)
    counts = {
        status: np.histogram(array[array > 0] if axis.has_zero else array, edges)[0] for status, array in finite.items()
    }
    bins = [
        Bin(float(low), float(high), {status: int(count[i]) for status, count in counts.items()})
        for i, (low, high) in enumerate(pairwise(edges))
    ]
    if axis.has_zero:
        bins.insert(0, Bin(0.0, 0.0, {status: int(np.sum(array == 0)) for status, array in finite.items()}))
    return Histogram(axis, bins, sum(map(len, values.values())) - len(everything))


def score_histograms(
    connection: duckdb.DuckDBPyConnection, view: str, schema: pa.Schema, thresholds: Sequence[Threshold]
) -> list[ScoreHistogram]:
    """A histogram for each score column of the view `clips` or `captions`, columns with thresholds first."""
    fields = [field for field in schema if is_score(field)]
    judged = {threshold.column for threshold in thresholds}
    fields.sort(key=lambda field: field.name not in judged)
    return [_of_column(connection, view, field, thresholds) for field in fields]


def by_measure(scores: Sequence[ScoreHistogram]) -> dict[str, list[ScoreHistogram]]:
    """Histograms of clips by the measure that their column belongs to; columns without a value are left out."""
    groups: dict[str, list[ScoreHistogram]] = {}
    for name in (THE_CLIP, *dict.fromkeys(MEASURE_OF.values())):
        found = [score for score in scores if score.histogram and MEASURE_OF.get(score.column, THE_CLIP) == name]
        if found:
            groups[name] = found
    return groups


def is_score(field: pa.Field) -> bool:
    """Whether a column holds a number that says something about its row."""
    is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return is_number and field.name not in NOT_SCORES


def _of_column(
    connection: duckdb.DuckDBPyConnection, view: str, field: pa.Field, thresholds: Sequence[Threshold]
) -> ScoreHistogram:
    query = f"select coalesce({field.name}::double, 'nan'::double) as value from {view} where status = ?"
    values = {
        status: np.asarray(connection.execute(query, [status]).fetchnumpy()["value"], np.float64)
        for status in STATUSES[view]
    }
    own = [threshold for threshold in thresholds if threshold.column == field.name]
    has_value = any(np.isfinite(array).any() for array in values.values())
    marks = [threshold.value for threshold in own]
    result = histogram(values, marks, is_integer=pa.types.is_integer(field.type)) if has_value else None
    num_missing = result.num_missing if result else sum(map(len, values.values()))
    metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return ScoreHistogram(view, field.name, metadata["doc"], metadata["unit"], own, num_missing, result)


def _edges(axis: Axis, is_integer: bool) -> np.ndarray:
    """(B + 1,) increasing bin edges that cover the axis."""
    if axis.is_log:
        return np.geomspace(axis.low, axis.high, NUM_BINS + 1)
    if is_integer:
        low, high = np.ceil(axis.low), np.floor(axis.high)
        step = max(1.0, np.ceil((high - low + 1) / NUM_BINS))
        return np.arange(low - 0.5, high + 0.5 + step, step)
    return np.linspace(axis.low, axis.high, NUM_BINS + 1)
