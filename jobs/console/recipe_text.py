"""Recipes as people read them: the keys that a command reads, and a whole recipe as commented TOML."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from dataclasses import MISSING
from typing import Any

import tomlkit
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from tomlkit.items import Item
from tomlkit.items import Table as TomlTable

from schemas.recipe import Recipe
from schemas.recipe.keys import RULE_NAME, Key, Section, recipe_sections

COMMENT_CHARS = 100


def print_recipe_keys(sections: Collection[str]) -> None:
    """Print every key of some top-level sections with its type, default and meaning."""
    console = Console(highlight=False)
    read = [section for section in recipe_sections() if section.top in sections]
    example = f"--set {read[0].keys[0].path}=VALUE"
    console.print(f"\nRecipe keys that this command reads; {example} changes one.")
    for section in read:
        console.print(Text.assemble("\n", (f"[{section.path}]", "bold"), f"  {section.meaning}"))
        table = Table.grid(padding=(0, 2))
        for key in section.keys:
            table.add_row(Text(key.name, style="cyan"), Text(f"{key.meaning} [{_type_and_default(key)}]"))
        console.print(Padding(table, (0, 0, 0, 2)))


def _type_and_default(key: Key) -> str:
    if key.default is MISSING:
        return f"{key.type}; must be given"
    if key.default is None or key.default == ():
        return key.type
    return f"{key.type}; default: {tomlkit.item(_plain(key.default)).as_string()}"


def recipe_toml(recipe: Recipe) -> str:
    """A recipe as a TOML file that `--recipe` takes, each key under a comment with its meaning."""
    document = tomlkit.document()
    tree = recipe.as_dict()
    for section in recipe_sections():
        if section.path.endswith(f".{RULE_NAME}"):
            _add_rules(document, section, tree[section.top])
            continue
        values, table = tree, document
        for name in filter(None, section.path.split(".")):
            values = values[name]
            if name not in table:
                table.add(name, tomlkit.table())
            table = table[name]  # type: ignore[assignment]
        if section.path:
            table.comment(section.meaning)  # type: ignore[union-attr]
        for key in section.keys:
            _comment(table, key.meaning)
            table.add(key.name, _item(values[key.name]))
    return tomlkit.dumps(document)


def _add_rules(document: tomlkit.TOMLDocument, section: Section, rules: Mapping[str, Mapping[str, Any]]) -> None:
    """The table of rules; what their keys mean is said once, above them."""
    table = tomlkit.table(is_super_table=True)
    for number, (name, rule) in enumerate(rules.items()):
        inner = tomlkit.table()
        if number == 0:
            for text in (section.meaning, *(f"{key.name}: {key.meaning}" for key in section.keys)):
                _comment(inner, text)
        for key in section.keys:
            if rule[key.name] not in (None, (), ""):
                inner.add(key.name, _item(rule[key.name]))
        table.add(name, inner)
    if rules:
        document.add(section.top, table)


def _comment(table: tomlkit.TOMLDocument | TomlTable, text: str) -> None:
    for line in textwrap.wrap(text, COMMENT_CHARS):
        table.add(tomlkit.comment(line))


def _item(value: Any) -> Item:
    """A value of a recipe; tables of free keys stay on one line, so that they may stand between others."""
    if not isinstance(value, Mapping):
        return tomlkit.item(_plain(value))
    inline = tomlkit.inline_table()
    inline.update({name: _item(inner) for name, inner in value.items()})
    return inline


def _plain(value: Any) -> Any:
    """TOML knows lists and no tuples."""
    if isinstance(value, Mapping):
        return tomlkit.inline_table()
    return list(value) if isinstance(value, tuple) else value
