"""`reelmill recipe`: the recipes that there are, and one of them in full."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

from jobs.cli import run_job
from jobs.console.options import RecipeOptions, Settings, complete_recipes
from jobs.console.recipe_text import recipe_toml
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import recipe_comment, recipe_names

recipe = App(name="recipe", group_commands="Commands", help_format="markdown")


@recipe.command
def show(
    name: Annotated[str | None, Parameter(completer=complete_recipes)] = None,
    /,
    *,
    dataset: Annotated[str | None, Parameter(metavar="DATASET")] = None,
    settings: Settings = (),
) -> None:
    """Print a recipe in full as TOML, each key with its meaning.

    What is printed is a recipe itself: write it to a file, change it, and name the file by --recipe.

    Args:
        name: A built-in recipe or a TOML file; `default` if neither this nor --dataset is given.
        dataset: Show the active recipe of this data set, by which it was curated or judged last.
    """
    if name and dataset:
        raise UsageError(f"{name} and --dataset {dataset}: give one of them")
    tables = Dataset(dataset).require() if dataset else None
    print(recipe_toml(RecipeOptions(name, settings).over(tables)), end="")


@recipe.command(name="list")
def list_recipes() -> None:
    """List the built-in recipes."""
    width = max(map(len, recipe_names()))
    for name in recipe_names():
        print(f"{name:<{width}}  {recipe_comment(name)}")


if __name__ == "__main__":
    sys.exit(run_job("recipe"))
