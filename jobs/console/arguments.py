"""Command-line arguments that several jobs share."""

from __future__ import annotations

import argparse

from pipeline.store.active_recipe import active_recipe
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe, change_recipe, load_recipe


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", default="default", metavar="NAME|FILE.toml", help="default: %(default)s")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one key, as rules.min_motion.min=1.5"
    )


def recipe_from(args: argparse.Namespace) -> Recipe:
    return load_recipe(args.recipe, args.set)


def add_what_if_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", metavar="NAME|FILE.toml", help="default: the one the data set was judged by last")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one key, as rules.min_motion.min=1.5"
    )


def recipes_from(args: argparse.Namespace, dataset: Dataset) -> tuple[Recipe, Recipe]:
    """The recipe that a data set was judged by last, and the one that the arguments make of it or name instead.

    Raises:
        UsageError: the data set has not been curated.
    """
    standing = active_recipe(dataset)
    if standing is None:
        raise UsageError(f"{dataset.location}: has not been curated yet")
    return standing, load_recipe(args.recipe, args.set) if args.recipe else change_recipe(standing, args.set)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, for programs")
