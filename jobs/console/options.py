"""Options that several commands share: type, help, and what the shell completes for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.completion import CompletionContext
from cyclopts.validators import Number

from pipeline.release import releases
from pipeline.store.active_recipe import require_active_recipe
from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe, RecipeError, change_recipe, load_recipe, recipe_names
from schemas.recipe.keys import RULE_NAME, RULE_SECTIONS, recipe_keys


def complete_recipes(context: CompletionContext) -> list[str]:
    """Names of the built-in recipes, and TOML files here."""
    return [*recipe_names(), *(str(path) for path in sorted(Path().glob("*.toml")))]


def complete_settings(context: CompletionContext) -> Iterator[tuple[str, str]]:
    """Every key that --set can change, and what it means; of rules those that the recipe has."""
    named = context.get("recipe")
    try:
        recipe = load_recipe(named.raw if named is not None and named.raw else "default").as_dict()
    except RecipeError:
        recipe = {}
    for key in recipe_keys():
        section = key.path.split(".")[0]
        names = recipe.get(section, {}) if section in RULE_SECTIONS else [RULE_NAME]
        for name in names:
            yield key.path.replace(f".{RULE_NAME}.", f".{name}."), key.meaning


def complete_releases(context: CompletionContext) -> list[str]:
    """Names of the releases of the data set that was typed."""
    dataset = context["dataset"].raw
    return releases.names(Dataset(dataset)) if dataset else []


AtLeast0 = Annotated[int, Parameter(validator=Number(gte=0))]
AtLeast1 = Annotated[int, Parameter(validator=Number(gte=1))]

DatasetLocation = Annotated[str, Parameter(help="Folder or URI prefix of the data set.")]
ReleaseName = Annotated[
    str, Parameter(metavar="NAME", help="A release made by `reelmill release`.", completer=complete_releases)
]
RetryFailed = Annotated[
    bool,
    Parameter(help="Try again also what has failed for what it holds, or was given up.", show_default=False),
]
Json = Annotated[bool, Parameter(help="Print the summary as JSON, for programs.", show_default=False)]
DryRun = Annotated[
    bool, Parameter(help="Write nothing; print what would be done and what it would cost.", show_default=False)
]
RECIPE = Parameter(name="--recipe", metavar="NAME|FILE.toml", completer=complete_recipes)
"""Completed by `help` where it is used, as the recipe that it replaces is not the same everywhere."""
Settings = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        metavar="KEY=VALUE",
        help="Change one key of the recipe, as rules.min_motion.min=1.5; may be given several times.",
        show_default=False,
        completer=complete_settings,
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class RecipeOptions:
    """The recipe of commands that work on a data set: its active recipe, with changes."""

    recipe: Annotated[
        str | None, RECIPE, Parameter(help="Use this recipe in place of the data set's active recipe.")
    ] = None
    settings: Settings = ()

    @property
    def are_given(self) -> bool:
        return bool(self.recipe or self.settings)

    def over(self, dataset: Dataset | None) -> Recipe:
        """The active recipe of a data set, or the one that is named in its place, with the changes.

        Args:
            dataset: without one, the recipe `default` is changed.
        Raises:
            UsageError: none is named and the data set has not been curated, or a key or value is wrong.
        """
        if self.recipe or dataset is None:
            return load_recipe(self.recipe or "default", self.settings)
        return change_recipe(require_active_recipe(dataset), self.settings)


NO_CHANGES = RecipeOptions()
