"""Help: an overview that is quick, and all that a command takes, the recipe's keys included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import COMMANDS, main
from jobs.steps.records import write_run
from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe, load_recipe
from schemas.recipe.keys import recipe_sections

ROOT = Path(__file__).parents[2]


def test_the_overview_is_quick_to_import() -> None:
    program = (
        "import sys; from jobs.cli import main; main(['--help']); "
        "print(sorted({'cv2', 'duckdb', 'numpy', 'pyarrow', 'pydantic', 'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_overview_says_where_to_begin_and_gives_each_command_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("Start with `reelmill demo") for line in lines)
    for name, command in COMMANDS.items():
        assert [line.split(maxsplit=1)[1] for line in lines if line.split()[:1] == [name]] == [command.line]


def test_the_overview_names_every_job(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("job", COMMANDS)
def test_every_job_has_help(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([job, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: reelmill {job}")


def test_only_sections_of_recipes_are_declared() -> None:
    assert {name for command in COMMANDS.values() for name in command.reads} <= {s.top for s in recipe_sections()}


@pytest.mark.parametrize("job", [name for name, command in COMMANDS.items() if command.reads])
def test_help_lists_the_recipe_keys_that_a_job_reads(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([job, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for section in recipe_sections():
        assert (f"[{section.path}] {section.meaning}" in text) == (section.top in COMMANDS[job].reads)
        for key in section.keys if section.top in COMMANDS[job].reads else ():
            assert f"{key.name} {key.meaning} [{key.type}" in text


def test_help_of_other_jobs_lists_no_keys_and_is_all_of_the_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "clips and seed determine it" in text
    assert "Recipe keys" not in text


@pytest.mark.parametrize("job", ["funnel", "rejudge"])
def test_the_sections_that_are_declared_are_those_that_are_read(
    job: str, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tiny_dataset, "20260101T000000Z-curate", "curate", load_recipe(), state="done")
    sections, read, get = {section.top for section in recipe_sections()}, set(), Recipe.__getattribute__

    def recording(self: Recipe, name: str) -> Any:
        # Storing a recipe and comparing two reads every field, and uses none.
        if name in sections and sys._getframe(1).f_code.co_name not in ("_asdict_inner", "__eq__"):
            read.add(name)
        return get(self, name)

    monkeypatch.setattr(Recipe, "__getattribute__", recording)
    assert main([job, "ds"]) == 0
    assert read == set(COMMANDS[job].reads)
