"""`reelmill funnel`: what each step and each rule keeps, and what other rules would."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from jobs.cli import run_job
from jobs.console.options import NO_CHANGES, DatasetLocation, Json, RecipeOptions
from jobs.console.summary import print_funnel, print_json
from pipeline.rules.effects import DatasetVerdicts, RuleEffect, judge_dataset, num_only_in, rule_effects
from pipeline.rules.judging import Verdicts
from pipeline.store.active_recipe import active_recipe, require_active_recipe
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.store.views import funnel as funnel_counts
from schemas.rules import Rule
from schemas.tables import captions
from schemas.tables.clips import FAILED, KEPT, PENDING, REJECTED


def funnel(dataset: DatasetLocation, /, *, options: RecipeOptions = NO_CHANGES, json: Json = False) -> None:
    """Show what each step and each rule of a data set keeps.

    For every rule: how many clips it rejects, how many it alone rejects, and how many stay after it and those above it;
    of captions likewise. With --set or --recipe the same for other rules, beside what holds now, from the scores in the
    tables: no video is read, no model is run and nothing is written (`reelmill rejudge` writes).
    """
    tables = Dataset(dataset).require()
    if active_recipe(tables) is None and not options.are_given:
        _show_without_rules(tables, json)
        return
    active = require_active_recipe(tables)
    asked = options.over(tables)
    connection = connect(tables)
    before = judge_dataset(connection, active)
    after = judge_dataset(connection, asked) if asked != active else before
    if json:
        print_json({"funnel": funnel_counts(tables), **_as_json(before, after)})
        return
    print_funnel(tables, reasons=False)
    earlier = None if after is before else before
    if asked.rules:
        print_rules("rules", asked.rules, after.clips, earlier.clips if earlier else None)
    if after.captions.num_rows and asked.caption_rules:
        print_rules("caption rules", asked.caption_rules, after.captions, earlier.captions if earlier else None)
    if earlier:
        _print_changes(earlier, after)


def _as_json(before: DatasetVerdicts, after: DatasetVerdicts) -> dict[str, object]:
    return {
        "rules": {name: effect.__dict__ for name, effect in rule_effects(after.clips).items()},
        "clips": after.clips.counts,
        "clips_before": before.clips.counts,
        "caption_rules": {name: effect.__dict__ for name, effect in rule_effects(after.captions).items()},
        "captions": after.captions.counts,
        "captions_before": before.captions.counts,
        "trainable": after.num_trainable,
        "trainable_before": before.num_trainable,
    }


def _show_without_rules(dataset: Dataset, as_json: bool) -> None:
    """For tables from elsewhere: decisions without a record of the rules behind them."""
    if as_json:
        print_json({"funnel": funnel_counts(dataset)})
    else:
        print_funnel(dataset)


def print_rules(title: str, rules: Mapping[str, Rule], after: Verdicts, before: Verdicts | None) -> None:
    """A line a rule; `before` adds what the rule rejects as things stand."""
    earlier: dict[str, RuleEffect] | None = rule_effects(before) if before else None
    table = Table("rule", "demands", "reason", "rejects", "it alone", "stay", title=title, title_justify="left")
    for name, effect in rule_effects(after).items():
        rejects = str(effect.rejects)
        if earlier is not None:
            rejects += f" (now {earlier[name].rejects if name in earlier else 'no such rule'})"
        table.add_row(name, str(rules[name]), rules[name].reason, rejects, str(effect.alone), str(effect.stay))
    for column in table.columns[3:]:
        column.justify = "right"
    Console(highlight=False).print(table)


def _print_changes(before: DatasetVerdicts, after: DatasetVerdicts) -> None:
    num_come, num_go = num_only_in(after.clips, before.clips), num_only_in(before.clips, after.clips)
    counts = _changed_counts(before.clips, after.clips, (KEPT, REJECTED, PENDING, FAILED))
    print(f"with these rules: {counts}; {num_come} would come, {num_go} would go")
    if after.captions.num_rows:
        counts = _changed_counts(before.captions, after.captions, (captions.OK, captions.REJECTED, captions.FAILED))
        print(f"captions: {counts}; trainable {before.num_trainable} -> {after.num_trainable}")


def _changed_counts(before: Verdicts, after: Verdicts, statuses: tuple[str, ...]) -> str:
    now, then = before.counts, after.counts
    return ", ".join(f"{status} {now.get(status, 0)} -> {then.get(status, 0)}" for status in statuses)


if __name__ == "__main__":
    sys.exit(run_job("funnel"))
