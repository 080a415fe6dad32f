"""Contact sheets of rules: clips on both sides of a threshold, the nearest first, so that a person can check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.report.axes import number
from pipeline.report.clocks import span_text
from pipeline.report.pictures import Picture, PictureCollector
from pipeline.rules.effects import RuleEffect, rule_effects
from pipeline.rules.judging import Verdicts
from schemas.recipe import Recipe
from schemas.rules import CLIP_COLUMNS, DUPLICATE_RANK, Rule
from schemas.tables.clips import KEPT


@dataclass(frozen=True)
class Judged:
    """The active recipe of a data set, and its verdict on every clip."""

    recipe: Recipe
    verdicts: Verdicts


@dataclass(frozen=True)
class Tile:
    """A clip's picture with the value of a rule's column, and how that compares with the threshold, as in `< 0.5`."""

    clip: Mapping[str, Any]
    picture: Picture
    value: str
    relation: str
    place: str
    reasons: Sequence[str]


@dataclass(frozen=True)
class RuleSheet:
    """What one rule does, and clips near its threshold. `num_kept` is the number of kept clips that have a value."""

    name: str
    rule: Rule
    unit: str
    effect: RuleEffect
    rejected: Sequence[Tile]
    kept: Sequence[Tile]
    num_kept: int

    @property
    def is_by_distance(self) -> bool:
        """Whether tiles are ordered by their distance from the threshold; labels and duplicates have no distance."""
        return not self.rule.reject and self.rule.column != DUPLICATE_RANK.name


@dataclass(frozen=True)
class _Chosen:
    """Indices, among all clips, of the clips to show for a rule."""

    rejected: np.ndarray
    kept: np.ndarray
    num_kept: int


def rule_sheets(
    connection: duckdb.DuckDBPyConnection, judged: Judged, num_tiles: int, collector: PictureCollector
) -> list[RuleSheet]:
    """One sheet for each rule, in the order of the recipe, with at most `num_tiles` clips on each side.

    Raises:
        ValueError: the verdicts are on other clips than the tables have.
    """
    verdicts, effects = judged.verdicts, rule_effects(judged.verdicts)
    chosen = _choose(connection, judged, num_tiles)
    shown = {int(i) for found in chosen.values() for side in (found.rejected, found.kept) for i in side}
    clips = _clips(connection, [verdicts.clip_ids[i] for i in sorted(shown)])

    def tiles(rule: Rule, side: np.ndarray) -> list[Tile]:
        return [
            _tile(clip := clips[verdicts.clip_ids[i]], rule, collector.picture(clip), verdicts.reasons[i]) for i in side
        ]

    return [
        RuleSheet(name, rule, _unit(rule), effects[name], tiles(rule, c.rejected), tiles(rule, c.kept), c.num_kept)
        for (name, rule), c in zip(judged.recipe.rules.items(), chosen.values(), strict=True)
    ]


def _choose(connection: duckdb.DuckDBPyConnection, judged: Judged, num_tiles: int) -> dict[str, _Chosen]:
    rules, verdicts = judged.recipe.rules, judged.verdicts
    columns = sorted({rule.column for rule in rules.values()} - {DUPLICATE_RANK.name})
    table = connection.sql(f"select {', '.join(['clip_id', *columns])} from clips order by clip_id").to_arrow_table()
    if table["clip_id"].to_pylist() != verdicts.clip_ids:
        raise ValueError("the verdicts are on other clips than the tables have")
    kept = np.array([status == KEPT for status in verdicts.statuses], bool)
    chosen = {}
    for name, rule in rules.items():
        values = None if rule.column == DUPLICATE_RANK.name else table[rule.column]
        has_value = np.zeros(len(kept), bool) if values is None else np.asarray(values.is_valid())
        rejected, near = (
            _nearest(rule, values, side, num_tiles) for side in (verdicts.rejected_by[name], kept & has_value)
        )
        chosen[name] = _Chosen(rejected, near, int((kept & has_value).sum()))
    return chosen


def _clips(connection: duckdb.DuckDBPyConnection, clip_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    connection.register("shown", pa.table({"clip_id": pa.array(clip_ids, pa.string())}))
    rows = connection.sql("select c.* from clips c join shown using (clip_id)").to_arrow_table()
    return {row["clip_id"]: row for row in rows.to_pylist()}


def _nearest(rule: Rule, values: pa.ChunkedArray | None, side: np.ndarray, limit: int) -> np.ndarray:
    """Indices of the `limit` clips of one side nearest to a bound of the rule; the first if it has no bounds.

    Args:
        side: (N,) bool, the clips to choose from.
    """
    indices = np.flatnonzero(side)
    if values is None or rule.reject:
        return indices[:limit]
    numbers = np.asarray(values.cast(pa.float64()).fill_null(np.nan), np.float64)[indices]
    bounds = [bound for bound in (rule.min, rule.max) if bound is not None]
    distances = np.min([np.abs(numbers - bound) for bound in bounds], axis=0)
    return indices[np.argsort(distances, kind="stable")[:limit]]


def _tile(clip: Mapping[str, Any], rule: Rule, picture: Picture, reasons: Sequence[str]) -> Tile:
    place = f"{clip['uri'].rpartition('/')[2]}, {span_text(clip)}"
    if rule.column == DUPLICATE_RANK.name:
        return Tile(clip, picture, "", "shows the same as another clip", place, reasons)
    value = clip[rule.column]
    if rule.reject:
        return Tile(clip, picture, str(value), "", place, reasons)
    return Tile(clip, picture, f"{_exact(value)} {_unit(rule)}".rstrip(), _relation(rule, value), place, reasons)


def _relation(rule: Rule, value: float) -> str:
    """How a value compares with the nearest bound, as in `< 0.5`."""
    bounds = [
        (abs(value - bound), kind, bound) for kind, bound in (("min", rule.min), ("max", rule.max)) if bound is not None
    ]
    _, kind, bound = min(bounds)
    signs = ("<", "≥") if kind == "min" else ("≤", ">")
    return f"{signs[value >= bound] if kind == 'min' else signs[value > bound]} {number(bound)}"


def _exact(value: float) -> str:
    """One digit more than elsewhere, to tell values near a threshold apart."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _unit(rule: Rule) -> str:
    metadata = CLIP_COLUMNS.field(rule.column).metadata or {}
    return metadata.get(b"unit", b"").decode()
