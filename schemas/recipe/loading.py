"""Recipes from TOML files and from `key=value` settings.

An unknown key, a value of the wrong type or one out of range is an error of one line that names the key and the nearest
valid one, found before any work starts.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.errors import did_you_mean
from schemas.recipe.keys import RULE_SECTIONS, nearest_key
from schemas.recipe.recipe import Recipe, RecipeError
from schemas.rules import CAPTION_COLUMNS, CLIP_COLUMNS
from schemas.tables.measures import CLIP_MEASURES, MEASURE_OF

BUILTIN = resources.files("schemas") / "recipes"
FROM_ENVIRONMENT = "env:"
"""How the name of a recipe begins whose text is in an environment variable, as on a cluster that has no such file."""


def recipe_names() -> list[str]:
    """Names of the built-in recipes, sorted."""
    return sorted(file.name.removesuffix(".toml") for file in BUILTIN.iterdir() if file.name.endswith(".toml"))


def recipe_comment(name: str) -> str:
    """The comment at the head of a built-in recipe, on one line."""
    lines = (BUILTIN / f"{name}.toml").read_text().splitlines()
    return " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))


def load_recipe(name_or_file: str = "default", settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe, then apply `key=value` settings.

    Args:
        name_or_file: one in `schemas/recipes`, a TOML file, or `env:VARIABLE`, whose value is then the text.

    Raises:
        RecipeError: no such recipe, bad TOML, unknown key, or a value of the wrong type or out of range; one line.
    """
    tree = _read_toml(name_or_file)
    for setting in settings:
        _apply(tree, setting)
    return decode_recipe(tree, origin=name_or_file)


def change_recipe(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Apply `key=value` settings to a recipe.

    Raises:
        RecipeError: as `load_recipe`.
    """
    tree = recipe.as_dict()
    for setting in settings:
        _apply(tree, setting)
    return decode_recipe(tree, origin=recipe.name)


def decode_recipe(tree: Mapping[str, Any], *, origin: str = "recipe") -> Recipe:
    """Turn a tree of plain values into a recipe, strictly."""
    tree = _without_dropped_rules(tree)
    try:
        # Through JSON, where strict means no "8" for 8, yet a list may stand for a tuple.
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise RecipeError(f"recipe {origin}: {_first_problem(error, tree)}") from None
    _check_rules(recipe, origin)
    return recipe


def _without_dropped_rules(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without rules that are `false`, by which a recipe drops those of its base."""
    kept = dict(tree)
    for section in RULE_SECTIONS:
        if isinstance(rules := tree.get(section), Mapping):
            kept[section] = {name: rule for name, rule in rules.items() if rule is not False}
    return kept


def _check_rules(recipe: Recipe, origin: str) -> None:
    for section, rules, schema in (
        ("rules", recipe.rules, CLIP_COLUMNS),
        ("caption_rules", recipe.caption_rules, CAPTION_COLUMNS),
    ):
        for key, rule in rules.items():
            if problem := rule.problem(schema):
                hint = "" if rule.column in schema.names else did_you_mean(rule.column, schema.names)
                raise RecipeError(f"recipe {origin}: {section}.{key}{problem}{hint}")
    for key, rule in recipe.rules.items():
        measure = MEASURE_OF.get(rule.column)
        if measure in CLIP_MEASURES and measure not in recipe.clip_measures:
            raise RecipeError(
                f"recipe {origin}: rules.{key}: column {rule.column!r} is measured by {measure}, which is off; "
                f"rules.{key}=false drops the rule"
            )


def _read_toml(name_or_file: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a recipe, laid over those of the one that it names as its `base`."""
    try:
        tree = tomllib.loads(_text(name_or_file))
    except FileNotFoundError:
        hint = did_you_mean(name_or_file, recipe_names()) or f"; the built-in ones are {', '.join(recipe_names())}"
        raise RecipeError(f"recipe {name_or_file}: no recipe of this name and no such file{hint}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"recipe {name_or_file}: {error}") from None
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str) or base in (*above, name_or_file):
        raise RecipeError(f"recipe {name_or_file}: base = {base!r}: not the name of another recipe")
    return _laid_over(_read_toml(base, (*above, name_or_file)), tree)


def _text(name_or_file: str) -> str:
    if name_or_file.startswith(FROM_ENVIRONMENT):
        variable = name_or_file.removeprefix(FROM_ENVIRONMENT)
        if variable not in os.environ:
            raise RecipeError(f"recipe {name_or_file}: {variable} is not set in the environment")
        return os.environ[variable]
    builtin = BUILTIN / f"{name_or_file}.toml"
    path = builtin if not name_or_file.endswith(".toml") and builtin.is_file() else Path(name_or_file)
    return path.read_text()


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """A tree with another's values in place of its own; sections are merged."""
    merged = dict(below)
    for key, value in above.items():
        below_value = merged.get(key)
        if isinstance(below_value, dict) and isinstance(value, dict):
            merged[key] = _laid_over(below_value, value)
        else:
            merged[key] = value
    return merged


def _apply(tree: dict[str, Any], setting: str) -> None:
    """Set one dotted key in the tree from `key=value`; the value is TOML, or else a plain string."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {setting}: not of the form key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    node = tree
    for name in path:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise RecipeError(f"--set {setting}: {name} is a value, not a section")
    node[last] = value


def _first_problem(error: ValidationError, tree: Mapping[str, Any]) -> str:
    """The first thing that is wrong: its key, its value, and what would be valid."""
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {key}{_nearest(key, tree)}"
    if problem["type"] == "missing":
        # A mistyped name of a rule makes a new rule, which lacks all but what was set.
        given = ".".join([*path[:-1], *_first_key(tree, path[:-1])])
        hint = _nearest(given, tree)
        return f"unknown key {given}{hint}" if hint else f"{key} is missing"
    message = f"{key} = {problem.get('input')!r}: {problem['msg'].lower().replace('input should be', 'must be')}"
    if problem["type"] == "literal_error":
        message += did_you_mean(
            str(problem["input"]), re.findall(r"'([^']*)'", problem.get("ctx", {}).get("expected", ""))
        )
    return message


def _nearest(key: str, tree: Mapping[str, Any]) -> str:
    names = {section: _whole_rules(tree.get(section, {})) for section in RULE_SECTIONS}
    nearest = nearest_key(key, names)
    return f"; did you mean {nearest}?" if nearest else ""


def _whole_rules(rules: Mapping[str, Any]) -> list[str]:
    return [name for name, rule in rules.items() if isinstance(rule, Mapping) and "column" in rule]


def _first_key(tree: Mapping[str, Any], path: Iterable[str]) -> list[str]:
    """The first key of the table at a path, as a list; empty where the table is empty."""
    node: Any = tree
    for name in path:
        node = node[name]
    return [*node][:1]
