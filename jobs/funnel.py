"""Show what each step and each rule of a data set keeps.

For every rule: how many clips it rejects, how many it alone rejects, and how many stay after it and those above it.
With --set or --recipe the same for other rules, beside what stands, from the scores in the tables: no video is touched
and nothing is written (`reelmill rejudge` writes).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

from rich.console import Console
from rich.table import Table

from jobs.arguments import add_json_argument, add_what_if_arguments, recipes_from
from jobs.cli import run_job
from jobs.runs import latest_recipe
from jobs.summary import print_funnel
from pipeline.dataset import Dataset
from pipeline.decisions import judge_dataset
from pipeline.judging import RuleEffect, Verdicts, rule_effects
from pipeline.query import funnel
from schemas.clips import FAILED, KEPT, PENDING, REJECTED
from schemas.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    add_what_if_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    dataset = Dataset(args.dataset).require()
    if latest_recipe(dataset) is None and not (args.recipe or args.set):
        return _show_without_rules(dataset, args.json)
    standing, asked = recipes_from(args, dataset)
    before = judge_dataset(dataset, standing)
    after = judge_dataset(dataset, asked) if asked != standing else before
    effects = rule_effects(after)
    if args.json:
        summary = {
            "funnel": funnel(dataset),
            "rules": {name: effect.__dict__ for name, effect in effects.items()},
            "clips": dict(Counter(after.statuses)),
            "clips_before": dict(Counter(before.statuses)),
        }
        json.dump(summary, sys.stdout)
        print()
        return 0
    print_funnel(dataset, reasons=False)
    print_rules(asked, effects, rule_effects(before) if after is not before else None)
    if after is not before:
        _print_changes(before, after)
    return 0


def _show_without_rules(dataset: Dataset, as_json: bool) -> int:
    """For tables from elsewhere: decisions without a record of the rules behind them."""
    if as_json:
        json.dump({"funnel": funnel(dataset)}, sys.stdout)
        print()
    else:
        print_funnel(dataset)
    return 0


def print_rules(recipe: Recipe, effects: dict[str, RuleEffect], before: dict[str, RuleEffect] | None) -> None:
    """A line a rule; `before` adds what the rule rejects as things stand."""
    table = Table("rule", "demands", "reason", "rejects", "it alone", "stay", title="rules", title_justify="left")
    for name, effect in effects.items():
        rule = recipe.rules[name]
        rejects = str(effect.rejects)
        if before is not None:
            rejects += f" (now {before[name].rejects if name in before else 'no such rule'})"
        table.add_row(name, str(rule), rule.reason, rejects, str(effect.alone), str(effect.stay))
    for column in table.columns[3:]:
        column.justify = "right"
    Console(highlight=False).print(table)


def _print_changes(before: Verdicts, after: Verdicts) -> None:
    stood, would = Counter(before.statuses), Counter(after.statuses)
    counts = [f"{status} {stood[status]} -> {would[status]}" for status in (KEPT, REJECTED, PENDING, FAILED)]
    kept, keeps = before.of_status(KEPT), after.of_status(KEPT)
    print(f"with these rules: {', '.join(counts)}; {len(keeps - kept)} would come, {len(kept - keeps)} would go")


if __name__ == "__main__":
    sys.exit(run_job("funnel"))
