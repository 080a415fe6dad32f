"""The tables that say what is mutated: one TOML file a room, in `rooms/`.

[tests]                                   which tests must notice a change of which file
"model/diffusion/paths.py" = ["tests/model/diffusion/test_paths.py"]

[[fault]]                                 a change that somebody wrote down; always run
breaks = "gradients are clipped"
file = "model/training/step.py"
old = '...'                               must occur exactly once
new = '...'
tests = ["..."]                           if others than those of the file

[[survivor]]                              a mutant that no test can notice, and why
file = "model/codec/causal.py"
was = '...'                               the line as it is, and as the mutant has it
becomes = '...'
why = "..."
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.mutant import Mutant
from tests.mutants.operators import systematic_mutants

FOLDER = Path(__file__).parent / "rooms"


class StaleTable(ValueError):
    """An entry of a table that no longer fits the sources."""


@dataclass(frozen=True)
class Survivor:
    """A mutant that is let live."""

    file: str
    was: str
    becomes: str
    why: str

    def is_of(self, mutant: Mutant) -> bool:
        return (self.file, self.was, self.becomes) == (mutant.file, mutant.was, mutant.becomes)


@dataclass(frozen=True)
class Room:
    """The mutants of some sources: those that are named, all systematic ones, and which of them are let live."""

    name: str
    faults: tuple[Mutant, ...]
    systematic: tuple[Mutant, ...]
    survivors: tuple[Survivor, ...] = ()

    def reason(self, mutant: Mutant) -> str | None:
        """Why the mutant is let live, or None if it must be killed."""
        return next((s.why for s in self.survivors if s.is_of(mutant)), None)


def read_room(root: Path, path: Path) -> Room:
    """Read one table and make its mutants of the sources under `root`.

    Raises:
        StaleTable: a file that is not there, a text that does not occur exactly once, or a survivor that no longer is
            a mutant.
    """
    table = tomllib.loads(path.read_text())
    tests = {file: tuple(names) for file, names in table["tests"].items()}
    faults = tuple(_fault(root, entry, tests) for entry in table.get("fault", []))
    systematic = tuple(
        mutant
        for file, names in tests.items()
        if file.endswith(".py")
        for mutant in systematic_mutants(file, _read(root, file), names)
    )
    survivors = tuple(Survivor(**entry) for entry in table.get("survivor", []))
    for name in sorted({name for mutant in faults + systematic for name in mutant.tests}):
        if not (root / name).exists():
            raise StaleTable(f"{path.name}: there is no {name}")
    for survivor in survivors:
        if not any(survivor.is_of(mutant) for mutant in systematic):
            raise StaleTable(
                f"{path.name}: no mutant of {survivor.file} turns {survivor.was!r} to {survivor.becomes!r}"
            )
    return Room(path.stem, faults, systematic, survivors)


def _fault(root: Path, entry: dict[str, Any], tests: dict[str, tuple[str, ...]]) -> Mutant:
    file, old, breaks = entry["file"], entry["old"].encode(), entry["breaks"]
    source = _read(root, file)
    if source.count(old) != 1:
        raise StaleTable(f"{breaks}: {entry['old']!r} occurs {source.count(old)} times in {file}, not once")
    if old == entry["new"].encode():
        raise StaleTable(f"{breaks}: the fault changes nothing")
    start = source.index(old)
    names = tuple(entry.get("tests", tests.get(file, ())))
    return Mutant(file, source, start, start + len(old), entry["new"].encode(), names, breaks)


def _read(root: Path, file: str) -> bytes:
    try:
        return (root / file).read_bytes()
    except FileNotFoundError as error:
        raise StaleTable(f"there is no {file}") from error
