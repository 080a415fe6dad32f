"""The files for clusters parse, and every Reelmill command line in them and in the pages is one that its job takes."""

from __future__ import annotations

import re
import shlex
from inspect import BoundArguments
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from jobs.cli import COMMANDS, app
from schemas.recipe import load_recipe, recipe_names

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "infra").rglob("*") if path.is_file() and path.suffix != ".png")
PAGES = sorted(path for path in ROOT.rglob("*.md") if not {".venv", ".pytest_cache", "out"}.intersection(path.parts))
JOB = "|".join(COMMANDS)
COMMAND = re.compile(rf"(?:(?<!`)\breelmill|python -m jobs\.|infra/slurm\.sbatch)[ ]?({JOB})\b([^#\n`|;]*)")
"""Within backquotes a sentence names a command, and seldom all of its line."""


def command_lines(path: Path) -> list[tuple[str, list[str]]]:
    """Jobs and arguments of the whole command lines in a file; continued lines are joined first."""
    text = path.read_text().replace("\\\n", " ")
    text = re.sub(r">-\n((?:[ ]{4,}\S.*\n)+)", lambda folded: " ".join(folded[1].split()) + "\n", text)
    return [
        (job, shlex.split(arguments))
        for job, arguments in COMMAND.findall(text)
        if arguments.strip() and "..." not in arguments
    ]


def parse(job: str, arguments: list[str]) -> BoundArguments:
    _, bound, _ = app.parse_args([job, *arguments], print_error=False, exit_on_error=False)
    return bound


@pytest.mark.parametrize("path", sorted({*FILES, *PAGES}), ids=lambda path: str(path.relative_to(ROOT)))
def test_command_lines_are_ones_that_the_jobs_take(path: Path) -> None:
    for job, arguments in command_lines(path):
        bound = parse(job, arguments)
        if job == "submit" and bound.args:
            inner, *rest = bound.args
            parse(inner, rest)


def test_every_kind_of_cluster_runs_commands() -> None:
    named = {str(path.relative_to(ROOT / "infra")): [job for job, _ in command_lines(path)] for path in FILES}
    assert {name: jobs for name, jobs in named.items() if jobs and name.endswith((".yaml", ".sbatch"))} == {
        "kuberay/curate/rayjob.yaml": ["curate"],
        "kuberay/train/rayjob.yaml": ["train"],
        "kuberay/cluster/raycluster.yaml": ["submit"],
        "ray-cluster.yaml": ["submit", "submit"],
        "slurm.sbatch": ["curate", "train"],
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_in_command_lines_are_keys_of_a_recipe(path: Path) -> None:
    for job, arguments in command_lines(path):
        options = parse(job, arguments).arguments.get("options")
        if options is not None and options.are_given:
            named = options.recipe if options.recipe in recipe_names() else "default"
            load_recipe(named, options.settings)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=str)
def test_yaml_parses(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_rays_launcher_takes_its_file() -> None:
    config = yaml.safe_load((ROOT / "infra/ray-cluster.yaml").read_text())
    validate_config(prepare_config(config))
    assert config["docker"]["pull_before_run"] is False
    assert any("--ulimit nofile=65536" in option for option in config["docker"]["run_options"])
