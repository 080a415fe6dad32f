"""Contact sheets of rules: clips on both sides of a threshold, the nearest first, so that a person can check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.axes import number
from pipeline.report.clocks import span_text
from pipeline.report.pictures import Picture, PictureCollector
from pipeline.rules.effects import RuleEffect, rule_effects
from pipeline.rules.judging import Verdicts
from schemas.rules import CLIP_COLUMNS, DUPLICATE_RANK, Rule
from schemas.tables.clips import KEPT


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


def rule_sheets(verdicts: Verdicts, num_tiles: int, collector: PictureCollector) -> list[RuleSheet]:
    """One sheet for each rule, in the order of the recipe, with at most `num_tiles` clips on each side.

    Args:
        verdicts: made in a connection that has the view `clips`.
    """
    effects = rule_effects(verdicts)
    return [_sheet(verdicts, name, effects[name], num_tiles, collector) for name in verdicts.rules]


def _sheet(verdicts: Verdicts, name: str, effect: RuleEffect, num_tiles: int, collector: PictureCollector) -> RuleSheet:
    rule = verdicts.rules[name]
    has_value = "false" if rule.column == DUPLICATE_RANK.name else f"{rule.column} is not null"
    is_near = f"v.status = '{KEPT}' and {has_value}"
    rejected, kept = (
        [_tile(row, rule, collector.picture(row)) for row in _nearest(verdicts, rule, side, num_tiles)]
        for side in (verdicts.rejects(name), is_near)
    )
    count = f"select count(*) from {verdicts.table} v join clips using (clip_id) where {is_near}"
    num_kept = verdicts.connection.execute(count).fetchall()[0][0]
    return RuleSheet(name, rule, _unit(rule), effect, rejected, kept, num_kept)


def _nearest(verdicts: Verdicts, rule: Rule, side: str, limit: int) -> list[dict[str, Any]]:
    """The `limit` clips of one side nearest to a bound of the rule, or the first if it has no bounds."""
    bounds = [bound for bound in (rule.min, rule.max) if bound is not None]
    distances = (
        [] if rule.column == DUPLICATE_RANK.name else [f"abs({rule.column}::double - {bound!r})" for bound in bounds]
    )
    order = [f"least({', '.join(distances)})"] if distances else []
    query = f"""
        select c.* replace (v.reasons as reasons) from {verdicts.table} v join clips c using (clip_id)
        where {side} order by {", ".join([*order, "clip_id"])} limit {limit}
        """
    return verdicts.connection.sql(query).to_arrow_table().to_pylist()


def _tile(clip: Mapping[str, Any], rule: Rule, picture: Picture) -> Tile:
    reasons = clip["reasons"]
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
