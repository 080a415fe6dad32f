"""The runner on a project of one function: a mutant is killed, a survivor reported, a stale table an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import runner
from tests.mutants.__main__ import report
from tests.mutants.mutant import Mutant
from tests.mutants.operators import systematic_mutants
from tests.mutants.rooms import FOLDER, Room, StaleTable, Survivor, read_room
from tests.mutants.runner import BrokenTests, Outcome, run_mutants

SOURCE = '''\
"""Counting."""


def halves(number: int) -> int:
    count = 0
    while number > 1:
        number //= 2
        count += 1
    return count
'''
TESTS = """\
from model.counting import halves


def test_halves():
    assert halves(8) == 3
"""
TABLE = """\
[tests]
"model/counting.py" = ["tests/test_counting.py"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in (
        ("model/counting.py", SOURCE),
        ("tests/test_counting.py", TESTS),
        ("pyproject.toml", ""),
        ("model/__init__.py", ""),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def room(project: Path, table: str = "") -> Room:
    path = project / "counting.toml"
    path.write_text(TABLE + table)
    return read_room(project, path)


def fates(project: Path, mutants: tuple[Mutant, ...], num_processes: int = 1) -> dict[str, str]:
    folder = project.parent / "slots"
    return {o.mutant.becomes: o.fate for o in run_mutants(project, folder, list(mutants), num_processes)}


def test_mutants_are_killed_stuck_or_survive_and_the_sources_are_not_touched(project, monkeypatch):
    monkeypatch.setattr(runner, "SPARE_CPU_S", 1.0)
    assert fates(project, room(project).systematic, num_processes=2) == {
        "count = 1": "killed",
        "while number >= 1:": "killed",
        "while number > 2:": "killed",
        "while (not (number > 1)):": "killed",
        "number *= 2": "stuck",
        "number //= 3": "killed",
        "pass": "killed",
        "count -= 1": "killed",
        "count += 2": "killed",
    }
    assert (project / "model" / "counting.py").read_text() == SOURCE


def test_a_mutant_that_no_conftest_can_import_is_killed(project):
    (project / "tests" / "conftest.py").write_text("from model.counting import halves\n\nassert halves(8) == 3\n")
    (doubled,) = [mutant for mutant in room(project).systematic if mutant.becomes == "count += 2"]
    assert fates(project, (doubled,)) == {"count += 2": "killed"}


def test_tests_that_fail_without_a_mutant_are_an_error(project):
    (project / "tests" / "test_counting.py").write_text(TESTS.replace("3", "4"))
    with pytest.raises(BrokenTests, match=r"tests/test_counting\.py fails without any mutant"):
        fates(project, room(project).systematic)


FAULT = """
[[fault]]
breaks = "eight is halved three times"
file = "model/counting.py"
old = '//= 2'
new = '-= 4'
"""


def test_a_named_fault_is_its_text_in_place_of_the_old_one(project):
    (fault,) = room(project, FAULT).faults
    assert (fault.breaks, fault.line, fault.was, fault.becomes) == (
        "eight is halved three times",
        7,
        "number //= 2",
        "number -= 4",
    )
    assert fault.mutated.decode() == SOURCE.replace("//= 2", "-= 4")
    assert fates(project, (fault,)) == {"number -= 4": "killed"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (FAULT.replace("//= 2", "//= 9"), "occurs 0 times"),
        (FAULT.replace("//= 2", "count"), "occurs 3 times"),
        (FAULT.replace("counting.py", "nowhere.py"), "there is no model/nowhere.py"),
        (FAULT + 'tests = ["tests/test_nowhere.py"]', "there is no tests/test_nowhere.py"),
        (FAULT + 'tests = ["tests/test_counting.py"]\n' + FAULT.replace("-= 4", "//= 2"), "changes nothing"),
    ],
)
def test_a_fault_that_no_longer_fits_is_an_error(project, table, message):
    with pytest.raises(StaleTable, match=message):
        room(project, table)


SURVIVOR = """
[[survivor]]
file = "model/counting.py"
was = 'count = 0'
becomes = 'count = 1'
why = "counting may begin anywhere"
"""


def test_a_survivor_that_is_no_mutant_is_an_error(project):
    assert len(room(project, SURVIVOR).survivors) == 1
    with pytest.raises(StaleTable, match="count = 7"):
        room(project, SURVIVOR.replace("count = 1", "count = 7"))


def outcomes(project: Path, fate: runner.Fate) -> list[Outcome]:
    return [Outcome(mutant, fate, "", 0.1) for mutant in room(project).systematic[:2]]


def test_survivors_without_a_reason_are_listed_and_fail_the_run(project, capsys):
    assert report([room(project)], outcomes(project, "killed"), 1.0) == 0
    assert "2 mutants, 2 killed (100.0%" in capsys.readouterr().out
    assert report([room(project, SURVIVOR)], outcomes(project, "survived"), 1.0) == 1
    printed = capsys.readouterr().out
    assert "let live: model/counting.py:5" in printed
    assert "counting may begin anywhere" in printed
    assert "SURVIVED: model/counting.py:6\n  - while number > 1:\n  + while (not (number > 1)):" in printed
    assert "2 mutants, 0 killed (0.0%" in printed
    assert "1 let live for a reason, 1 SURVIVED" in printed


def test_survivors_with_a_reason_do_not_fail_the_run(project):
    reasons = tuple(Survivor(m.file, m.was, m.becomes, "why") for m in room(project).systematic)
    explained = Room("counting", (), room(project).systematic, reasons)
    assert report([explained], outcomes(project, "survived"), 1.0) == 0


@pytest.mark.parametrize(
    ("line", "mutants"),
    [
        ("x = a < b <= c", ["x = a <= b <= c", "x = a < b < c"]),
        ("x = a is not b", ["x = a is b"]),
        ("x = a not in (b)", ["x = a in (b)"]),
        ("x = (a) + (b) - c", ["x = (a) - (b) - c", "x = (a) + (b) + c"]),
        ("x = a // b ** c", ["x = a * b ** c", "x = a // b * c"]),
        ("x = not a and -b", ["x = a and -b", "x = not a or -b", "x = not a and b"]),
        ("x = True", ["x = False"]),
        (
            "x = 3, 0, 0.5, 0.0",
            ["x = 4, 0, 0.5, 0.0", "x = 3, 1, 0.5, 0.0", "x = 3, 0, 1.0, 0.0", "x = 3, 0, 0.5, 1.0"],
        ),
        ("x = a if b > c else d", ["x = a if (not (b > c)) else d", "x = a if b >= c else d"]),
        ("x = [a for a in b if c]", ["x = [a for a in b if (not (c))]"]),
        ("x = a[b:, :c]", ["x = a[:, :c]", "x = a[b:, :]"]),
        ("x = min(any(a), b)", ["x = max(any(a), b)", "x = min(all(a), b)"]),
        ("f(a)", ["pass"]),
        ("x.y = a", ["pass"]),
        ("x[a] -= b", ["pass", "x[a] += b"]),
        ("if a: raise E(1 + 2)", ["if (not (a)): raise E(1 + 2)", "if a: pass"]),
        ("x = zip(a, b, strict=True)", []),
        ("x: Literal[1] = a", []),
        ('x = f"{a + 1}"', []),
        ("def f(a: int | None = 1) -> int: ...", ["def f(a: int | None = 2) -> int: ..."]),
        ('if __name__ == "__main__": f(1)', []),
        ("été = a + b  # ü", ["été = a - b  # ü"]),
    ],
)
def test_operators_change_one_thing_each(line, mutants):
    assert [mutant.becomes for mutant in systematic_mutants("f.py", f"{line}\n".encode())] == mutants


@pytest.mark.parametrize("table", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_tables_fit_the_sources(table):
    assert read_room(Path(__file__).parents[2], table).systematic
