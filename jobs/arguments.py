"""Command-line arguments that several jobs share."""

from __future__ import annotations

import argparse

from schemas.recipe import Recipe, load_recipe


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", default="default", metavar="NAME|FILE.toml", help="default: %(default)s")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one key, as rules.min_motion.min=1.5"
    )


def recipe_from(args: argparse.Namespace) -> Recipe:
    return load_recipe(args.recipe, args.set)


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, for programs")
