"""The files for clusters parse, and every Reelmill command line in them and in the pages is one that its job takes."""

from __future__ import annotations

import re
import shlex
import subprocess
from inspect import BoundArguments
from pathlib import Path

import pytest
import yaml

from jobs.cli import COMMANDS, app

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "infra").rglob("*") if path.is_file() and path.suffix != ".png")
PAGES = sorted(path for path in ROOT.rglob("*.md") if not {".venv", ".pytest_cache", "out"}.intersection(path.parts))
JOB = "|".join(COMMANDS)
COMMAND = re.compile(rf"(?:(?<!`)\breelmill|python -m jobs\.)[ ]?({JOB})\b([^#\n`|;]*)")
"""Within backquotes a sentence names a command, and seldom all of its line."""


def command_lines(path: Path) -> list[tuple[str, list[str]]]:
    """Jobs and arguments of the whole command lines in a file; continued lines are joined first."""
    text = path.read_text().replace("\\\n", " ")
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
        if job == "submit":
            inner, *rest = bound.args
            parse(inner, rest)


def test_clusters_run_the_curate_job() -> None:
    named = {path.name: [job for job, _ in command_lines(path)] for path in FILES}
    assert named["rayjob.yaml"] == ["curate"]
    assert named["ray-cluster.yaml"] == ["submit"]
    assert named["slurm.sbatch"] == ["curate"]


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=lambda path: path.name)
def test_yaml_parses(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_the_ray_job_is_one() -> None:
    job = yaml.safe_load((ROOT / "infra/kuberay/rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(value == str(value) for value in group["rayStartParams"].values())
        assert group["template"]["spec"]["containers"][0]["image"] == "reelmill:latest"


def test_the_slurm_script_is_valid_shell() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "infra/slurm.sbatch")], check=True)
