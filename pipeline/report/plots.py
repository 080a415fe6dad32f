"""Plots as inline SVG. Colours come from CSS classes of the page, so that they follow its light or dark scheme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from pipeline.report.axes import Axis, choose_axis, number
from pipeline.report.histograms import Bin, Histogram
from pipeline.report.thresholds import label
from schemas.rules import Threshold

LEFT, RIGHT, BOTTOM, LABEL_ROW = 34.0, 8.0, 18.0, 13.0
WIDTH, PLOT_HEIGHT = 400.0, 110.0
CURVE_WIDTH, CURVE_HEIGHT = 720.0, 250.0
MAX_BAR_PX = 30.0
"""Maximum width: a histogram of few whole numbers would have very wide bars."""
MIN_BAR_PX = 1.5
"""Minimum height, at which a bar of one row among very many is still visible."""


def x_px(axis: Axis, value: float, width: float = WIDTH) -> float:
    """Horizontal position of a value in a plot of the given width, in the units of the SVG's view box."""
    return LEFT + (width - LEFT - RIGHT) * axis.position(value)


def threshold_x_px(axis: Axis, threshold: Threshold) -> float:
    """Where a threshold is drawn: for whole numbers, between the last that passes and the first that does not."""
    value = threshold.value
    if axis.is_integer:
        value = math.ceil(value) - 0.5 if threshold.bound == "min" else math.floor(value) + 0.5
    return x_px(axis, value)


def histogram_svg(histogram: Histogram, thresholds: Sequence[Threshold], unit: str) -> Markup:
    """Stacked bars by status; each threshold is a labelled line, and the side that it rejects is shaded."""
    drawn = [threshold for threshold in thresholds if histogram.axis.contains(threshold.value)]
    top = LABEL_ROW * len(drawn) + 6
    base = top + PLOT_HEIGHT
    tallest = max(1, max(bin_.total for bin_ in histogram.bins))
    parts = [_shade(histogram.axis, threshold, top, base) for threshold in drawn]
    parts += [_bar(histogram.axis, bin_, tallest, base, unit) for bin_ in histogram.bins if bin_.total]
    parts += _frame(histogram.axis, base, WIDTH)
    parts.append(_text(LEFT - 5, top + 8, f"{tallest:,}", "end"))
    parts.append(_text(LEFT - 5, base, "0", "end"))
    parts += [_threshold(histogram.axis, threshold, row, base) for row, threshold in enumerate(drawn)]
    return _svg(WIDTH, base + BOTTOM, parts)


def curve_svg(curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> Markup:
    """Lines over steps, each given as `(class name, [(step, value), ...])`; a `val` line has a dot at each point."""
    points = np.array([point for _, curve in curves for point in curve], np.float64)
    x_axis = Axis(float(points[:, 0].min()), float(max(points[:, 0].max(), points[:, 0].min() + 1)))
    y_axis = choose_axis(points[:, 1])
    top, base = 6.0, 6.0 + CURVE_HEIGHT

    def place(step: float, value: float) -> tuple[str, str]:
        return f"{x_px(x_axis, step, CURVE_WIDTH):.1f}", f"{base - (base - top) * y_axis.position(value):.1f}"

    parts = _frame(x_axis, base, CURVE_WIDTH)
    for tick in y_axis.ticks(4):
        y = float(place(x_axis.low, tick)[1])
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, CURVE_WIDTH - RIGHT, y, y)
        )
        parts.append(_text(LEFT - 5, y + 3, number(tick), "end"))
    for name, curve in curves:
        path = " ".join(",".join(place(*point)) for point in curve)
        parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(name, path))
        if name == "val":
            parts += [Markup('<circle class="val" cx="{}" cy="{}" r="2.2"/>').format(*place(*p)) for p in curve]
    return _svg(CURVE_WIDTH, base + BOTTOM, parts)


def _svg(width: float, height: float, parts: Sequence[Markup]) -> Markup:
    opening = Markup('<svg viewBox="0 0 {} {}" role="img">').format(f"{width:.0f}", f"{height:.0f}")
    return opening + Markup("").join(parts) + Markup("</svg>")


def _text(x: float, y: float, text: str, anchor: str, name: str = "tick") -> Markup:
    pattern = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return pattern.format(name, x, y, anchor, text)


def _frame(axis: Axis, base: float, width: float) -> list[Markup]:
    """The horizontal axis with its ticks; tick labels that would overlap are left out."""
    line = Markup('<line class="axis" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
        LEFT, width - RIGHT, base, base
    )
    parts, last_end = [line], 0.0
    for tick in axis.ticks():
        x, half_width = x_px(axis, tick, width), 3.2 * len(number(tick))
        parts.append(Markup('<path class="axis" d="M{:.1f} {:.1f}v3"/>').format(x, base))
        if x - half_width > last_end and x + half_width <= width:
            parts.append(_text(x, base + 14, number(tick), "middle"))
            last_end = x + half_width + 4
    return parts


def _bar(axis: Axis, bin_: Bin, tallest: int, base: float, unit: str) -> Markup:
    if bin_.low == bin_.high:
        centre = x_px(axis, 0.0)
        left, right = centre - 4, centre + 4
        span = "0"
    else:
        left, right = x_px(axis, bin_.low), x_px(axis, bin_.high)
        inset = max(0.0, right - left - MAX_BAR_PX) / 2
        left, right = left + inset, right - inset
        span = f"{number(bin_.low)} to {number(bin_.high)}"
    title = f"{span} {unit}: ".replace(" :", ":") + ", ".join(f"{n} {name}" for name, n in bin_.counts.items() if n)
    parts, bottom = [Markup("<title>{}</title>").format(title)], base
    for status, count in bin_.counts.items():
        if count:
            height = max(MIN_BAR_PX, PLOT_HEIGHT * count / tallest)
            bottom -= height
            rect = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
            parts.append(rect.format(f"fill-{status}", left + 0.4, bottom, max(right - left - 0.8, 0.6), height))
    return Markup("<g>") + Markup("").join(parts) + Markup("</g>")


def _shade(axis: Axis, threshold: Threshold, top: float, base: float) -> Markup:
    x = threshold_x_px(axis, threshold)
    left, right = (LEFT, x) if threshold.bound == "min" else (x, WIDTH - RIGHT)
    rect = Markup('<rect class="out" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return rect.format(left, top, right - left, base - top)


def _threshold(axis: Axis, threshold: Threshold, row: int, base: float) -> Markup:
    x, y = threshold_x_px(axis, threshold), LABEL_ROW * (row + 1)
    pattern = Markup('<line class="threshold" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    is_left = x < WIDTH / 2
    text = _text(x + (4 if is_left else -4), y - 2, label(threshold), "start" if is_left else "end", "threshold")
    return pattern.format(x, x, y - LABEL_ROW + 2, base) + text


def smoothed(points: Sequence[tuple[float, float]], num_buckets: int) -> list[tuple[float, float]]:
    """The means of at most `num_buckets` groups of neighbouring points, of about equal size, in order."""
    count = min(num_buckets, len(points))
    bounds = [i * len(points) // count for i in range(count + 1)] if count else []
    runs = [points[first:last] for first, last in pairwise(bounds)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]
