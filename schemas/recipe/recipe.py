"""Recipes: the complete, typed configuration of every job, read from TOML.

A recipe is a tree of frozen dataclasses. An unknown key, a value of the wrong type or one out of range is an error that
names the key, found before any work starts.
The resolved recipe is stored with every run.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from schemas.errors import UsageError
from schemas.recipe.aesthetic import AestheticConfig
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.recipe.embedding import EmbeddingConfig
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.expand import ExpandConfig
from schemas.recipe.frames import FramesConfig
from schemas.recipe.limits import LimitsConfig
from schemas.recipe.measure import MeasureConfig
from schemas.recipe.overlay_text import OverlayTextConfig
from schemas.recipe.safety import SafetyConfig
from schemas.recipe.split import SplitConfig
from schemas.recipe.strict import STRICT
from schemas.recipe.train import TrainConfig
from schemas.rules import Rule
from schemas.tables.measures import CLIP_MEASURES, MEASURE_OF


class RecipeError(UsageError):
    """A recipe that cannot be used; the message is one line and names the key."""


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that the jobs read."""

    name: str = "default"
    split: SplitConfig = field(default_factory=SplitConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    overlay_text: OverlayTextConfig = field(default_factory=OverlayTextConfig)
    aesthetic: AestheticConfig = field(default_factory=AestheticConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    rules: dict[str, Rule] = field(default_factory=dict)
    frames: FramesConfig = field(default_factory=FramesConfig)
    caption: CaptionConfig = field(default_factory=CaptionConfig)
    caption_rules: dict[str, Rule] = field(default_factory=dict)
    expand: ExpandConfig = field(default_factory=ExpandConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def clip_measures(self) -> tuple[str, ...]:
        """The clip measures that are on, in order."""
        on = {
            "overlay_text": self.overlay_text.enabled,
            "embedding": self.embedding.model != "none",
            "aesthetic": bool(self.aesthetic.head),
            "safety": bool(self.safety.model),
        }
        return tuple(name for name in CLIP_MEASURES if on[name])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def load_recipe(name_or_file: str = "default", settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe by its name (one in `jobs/recipes`) or from a TOML file, then apply `key=value` settings.

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
    try:
        # Through JSON, where strict means no "8" for 8, yet a list may stand for a tuple.
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise RecipeError(f"recipe {origin}: {_first_problem(error)}") from None
    _check_rules(recipe, origin)
    return recipe


def _check_rules(recipe: Recipe, origin: str) -> None:
    from schemas.tables.captions import CAPTIONS
    from schemas.tables.judged import JUDGED

    for section, rules, schema in (
        ("rules", recipe.rules, JUDGED),
        ("caption_rules", recipe.caption_rules, CAPTIONS.schema),
    ):
        for key, rule in rules.items():
            if problem := rule.problem(schema):
                raise RecipeError(f"recipe {origin}: {section}.{key}{problem}")
    for key, rule in recipe.rules.items():
        measure = MEASURE_OF.get(rule.column)
        if measure in CLIP_MEASURES and measure not in recipe.clip_measures:
            raise RecipeError(
                f"recipe {origin}: rules.{key}: column {rule.column!r} is measured by {measure}, which is off"
            )


def _read_toml(name_or_file: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a recipe, laid over those of the one that it names as its `base`."""
    builtin = resources.files("schemas") / "recipes" / f"{name_or_file}.toml"
    path = builtin if not name_or_file.endswith(".toml") and builtin.is_file() else Path(name_or_file)
    try:
        tree = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(f"recipe {name_or_file}: no recipe of this name and no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"recipe {name_or_file}: {error}") from None
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str) or base in (*above, name_or_file):
        raise RecipeError(f"recipe {name_or_file}: base = {base!r}: not the name of another recipe")
    return _laid_over(_read_toml(base, (*above, name_or_file)), tree)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """A tree with another's values in place of its own; sections are merged."""
    merged = dict(below)
    for key, value in above.items():
        standing = merged.get(key)
        if isinstance(standing, dict) and isinstance(value, dict):
            merged[key] = _laid_over(standing, value)
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


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {key}"
    return f"{key} = {problem.get('input')!r}: {problem['msg'].lower()}"
