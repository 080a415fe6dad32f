"""Every key of a recipe with its type, default and meaning, read from the dataclasses themselves.

Meanings are the docstrings below the fields. Python does not keep those at run time, so they are read from the source.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt
from pydantic.fields import FieldInfo

from schemas.recipe.recipe import Recipe

RULE_SECTIONS = ("rules", "caption_rules")
RULE_NAME = "NAME"
"""Stands for the name of a rule, which the recipe's author chooses."""
SIGNS = {Gt: ("gt", ">"), Ge: ("ge", ">="), Lt: ("lt", "<"), Le: ("le", "<=")}


@dataclass(frozen=True)
class Key:
    """One key of a recipe."""

    path: str
    """The whole key, such as `train.model.width` or `rules.NAME.min`."""
    type: str
    """What values it takes, in words, such as `integer > 0`."""
    default: Any
    """`MISSING` where a value must be given."""
    meaning: str
    """One sentence or two, on one line."""

    @property
    def name(self) -> str:
        """The key within its table, such as `width`."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class Section:
    """One table of a recipe's TOML file."""

    path: str
    """Such as `train`, `train.model` or `rules.NAME`; empty for the keys above all tables."""
    meaning: str
    keys: tuple[Key, ...]

    @property
    def top(self) -> str:
        """The outermost table that holds it."""
        return self.path.split(".")[0]


@cache
def recipe_sections() -> tuple[Section, ...]:
    """All sections of a recipe, in order; a table within another comes after it."""
    return tuple(_sections(Recipe, ""))


@cache
def recipe_keys() -> tuple[Key, ...]:
    """All keys of a recipe, section by section."""
    return tuple(key for section in recipe_sections() for key in section.keys)


@cache
def meanings(cls: type) -> Mapping[str, str]:
    """The docstring of each field of a dataclass, by name; a field without one is left out."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            found |= _docstrings_of_fields(base)
    return found


def nearest_key(key: str, rule_names: Mapping[str, Sequence[str]]) -> str | None:
    """The valid key or section that is most like `key`, which is not valid; None where nothing is like it.

    Args:
        rule_names: names of the rules that there are, by section.
    """
    valid = [path.split(".") for key in recipe_keys() for path in _with_rule_names(key.path, rule_names)]
    nearest: list[str] = []
    for part in key.split("."):
        depth = len(nearest)
        below = {path[depth] for path in valid if path[:depth] == nearest and len(path) > depth}
        matches = [part] if part in below else get_close_matches(part, sorted(below), n=1)
        if not matches:
            return _same_name_elsewhere(key.split("."), valid)
        nearest += matches
    return ".".join(nearest)


def _with_rule_names(path: str, rule_names: Mapping[str, Sequence[str]]) -> list[str]:
    section, *rest = path.split(".")
    if rest[:1] != [RULE_NAME]:
        return [path]
    return [".".join([section, name, *rest[1:]]) for name in rule_names[section]]


def _same_name_elsewhere(key: list[str], valid: Iterable[list[str]]) -> str | None:
    """The one key of the same section that ends alike: `train.model.width` for `train.width`."""
    found = [path for path in valid if (path[0], path[-1]) == (key[0], key[-1])]
    return ".".join(found[0]) if len(found) == 1 else None


def _sections(cls: type, path: str) -> Iterator[Section]:
    types, texts = _types(cls), meanings(cls)
    prefix = path and f"{path}."
    tables = {field.name: table for field in fields(cls) if (table := _table_of(types[field.name]))}
    keys = [
        Key(prefix + field.name, in_words(types[field.name]), _default(field), texts.get(field.name, ""))
        for field in fields(cls)
        if field.name not in tables
    ]
    yield Section(path, (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " "), tuple(keys))
    for name, table in tables.items():
        is_named = get_origin(_plain(types[name])) is dict  # as rules are, each under a name of its own
        yield from _sections(table, f"{prefix}{name}.{RULE_NAME}" if is_named else prefix + name)


def _types(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _table_of(hint: Any) -> type | None:
    """The dataclass that a field holds, alone or by name; None where it holds values."""
    hint = _plain(hint)
    inner = get_args(hint)[1] if get_origin(hint) is dict else hint
    return inner if is_dataclass(inner) and isinstance(inner, type) else None


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def in_words(hint: Any) -> str:
    """A type as a person reads it: `integer > 0`, `number >= 0 and <= 1`, `content | near`, `list of text`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{in_words(arguments[0])} {' and '.join(_bounds(arguments[1:]))}".strip()
    if origin is Literal:
        return " | ".join(arguments)
    if origin in (Union, UnionType):
        return " | ".join(in_words(part) for part in arguments if part is not NoneType)
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} x "
        return f"list of {count}{in_words(arguments[0])}"
    names = {int: "integer", float: "number", str: "text", bool: "true | false"}
    return names.get(hint, "table")


def _bounds(metadata: tuple[Any, ...]) -> Iterator[str]:
    for constraint in metadata:
        if isinstance(constraint, FieldInfo):
            yield from _bounds(tuple(constraint.metadata))
        elif isinstance(constraint, Interval):
            yield from _bounds(tuple(constraint))
        elif type(constraint) in SIGNS:
            attribute, sign = SIGNS[type(constraint)]
            yield f"{sign} {getattr(constraint, attribute):g}"


def _docstrings_of_fields(cls: type) -> dict[str, str]:
    """The string below each annotated name in the body of one class, whitespace collapsed."""
    module = ast.parse(inspect.getsource(inspect.getmodule(cls)))  # type: ignore[arg-type]
    body = next(node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    found = {}
    for statement, following in pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[statement.target.id] = " ".join(following.value.value.split())
    return found
