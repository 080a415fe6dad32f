"""Plot axes: the position of a value, the ticks, and the choice between a linear and a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOG_SPREAD = 30.0
"""An axis is logarithmic if the 90th percentile of the positive values is more than this many times their 10th
percentile, or the lowest threshold among them if that is lower."""
ZERO_FRAC = 0.06
"""Share of a logarithmic axis that is reserved for zero, at its left end."""
REACH = 4.0
"""A threshold may extend the axis to this many times the range of the values; one further out is not drawn."""
PAD_FRAC = 0.02


@dataclass(frozen=True)
class Axis:
    """The interval [low, high], linear or logarithmic; a logarithmic one may show zero separately, at its left end.

    On a linear axis of whole numbers each number is the centre of an interval of width 1, and ticks are whole.
    """

    low: float
    high: float
    is_log: bool = False
    has_zero: bool = False
    is_integer: bool = False

    def position(self, value: float) -> float:
        """Position of a value as a share of the axis: 0 at its left or lower end, 1 at the other."""
        if not self.is_log:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return ZERO_FRAC / 2 if self.has_zero else 0.0
        start = ZERO_FRAC if self.has_zero else 0.0
        return start + (1 - start) * math.log(value / self.low) / math.log(self.high / self.low)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high or (self.has_zero and value == 0)

    def ticks(self, num_wanted: int = 5) -> list[float]:
        """Round values within the axis: about `num_wanted`, at least two where the axis allows."""
        ticks = _log_ticks(self.low, self.high, num_wanted) if self.is_log else []
        if len(ticks) < 2:
            ticks = _linear_ticks(self.low, self.high, num_wanted, 1.0 if self.is_integer else 0.0)
        return [0.0, *ticks] if self.has_zero else ticks


def choose_axis(values: np.ndarray, marks: Sequence[float] = ()) -> Axis:
    """An axis for finite values, extended to thresholds that are not too far out (REACH).

    Args:
        values: (N,) finite floats, N >= 1.
        marks: the thresholds.
    """
    positive = values[values > 0]
    if values.min() >= 0 and len(positive):
        tenth, ninetieth = np.percentile(positive, [10, 90])
        inner_marks = [mark for mark in marks if mark > 0 and mark >= values.min()]
        if ninetieth / min([tenth, *inner_marks]) > LOG_SPREAD:
            return _log_axis(positive, marks, has_zero=len(positive) < len(values))
    return _linear_axis(float(values.min()), float(values.max()), marks)


def number(value: float) -> str:
    """A number as text: three significant digits, from 1000 on whole with commas; an exponent only below 0.0001."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"


def _linear_axis(low: float, high: float, marks: Sequence[float]) -> Axis:
    span = high - low or abs(high) or 1.0
    near = [mark for mark in marks if low - (REACH - 1) * span <= mark <= high + (REACH - 1) * span]
    low, high = min([low, *near]), max([high, *near])
    if 0 < low < high / 2 or low == high > 0:
        low = 0.0
    pad = PAD_FRAC * (high - low) or 0.5
    return Axis(low if low == 0 else low - pad, high + pad)


def _log_axis(positive: np.ndarray, marks: Sequence[float], *, has_zero: bool) -> Axis:
    low, high = float(positive.min()), float(positive.max())
    reach = (high / low) ** (REACH - 1)
    near = [mark for mark in marks if mark > 0 and low / reach <= mark <= high * reach]
    low, high = min([low, *near]), max([high, *near])
    pad = (high / low) ** PAD_FRAC
    return Axis(low / pad, high * pad, is_log=True, has_zero=has_zero or 0 in marks)


def _linear_ticks(low: float, high: float, num_wanted: int, least_step: float) -> list[float]:
    rough = max((high - low) / num_wanted, least_step)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _log_ticks(low: float, high: float, num_wanted: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / (2 * num_wanted)))
    factors = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    ticks = [factor * 10.0**k for k in range(first, last + 1, stride) for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]
