"""The pages: every link leads to a file, and every file, module and Makefile target that they name is there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from schemas.page import schema_page

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in ROOT.rglob("*.md") if not {".venv", ".pytest_cache", "out"}.intersection(path.parts))
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
MODULE = re.compile(r"python -m ((?:jobs|schemas|tests)[\w.]*)")
TARGET = re.compile(r"\bmake ([a-z]+)\b`|^    make ([a-z]+)\b", re.MULTILINE)
FILE = re.compile(r"`((?:infra|jobs|model|pipeline|schemas|tests)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    links = [link for link in LINK.findall(text) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [name for name in FILE.findall(text) if not (ROOT / name).exists()] == []
    assert [name for name in MODULE.findall(text) if find_spec(name) is None] == []
    rules = re.findall(r"^([a-z][a-z ]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name for pair in TARGET.findall(text) for name in pair if name} <= set(" ".join(rules).split())


def test_the_page_of_columns_is_that_of_the_declarations() -> None:
    assert (ROOT / "schemas/README.md").read_text() == schema_page(), "python -m schemas.page > schemas/README.md"
