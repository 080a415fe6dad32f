"""The image: what it copies is there, both targets install the pinned versions, and nothing runs as root in them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "infra/Dockerfile").read_text().replace("\\\n", " ")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = {"cpu": "vllm-cpu", "gpu": "vllm-gpu"}


def stage(name: str) -> list[str]:
    """The instructions of a build stage, those of the stage that it begins from first."""
    start, body = re.findall(rf"^FROM (\S+) AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)[0]
    own = [line for line in body.splitlines() if line and not line.startswith("#")]
    return [*(stage(start) if f" AS {start}\n" in DOCKERFILE else [f"FROM {start}"]), *own]


def test_every_extra_for_vllm_has_a_target() -> None:
    assert set(TARGETS.values()) == {name for name in PYPROJECT["project"]["optional-dependencies"] if "vllm" in name}
    assert set(re.findall(r" AS (\w+)", DOCKERFILE)) == {"base", *TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_installs_its_extra_at_the_pinned_versions(target: str) -> None:
    installs = [line for line in stage(target) if "uv pip install" in line]
    assert len(installs) == 1
    assert f'--constraint constraints.txt ".[{TARGETS[target]}]"' in installs[0]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_ends_as_a_user_that_is_not_root(target: str) -> None:
    lines = stage(target)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1:] == ["reelmill"]
    assert any(re.search(r"\buseradd\b.* reelmill$", line) for line in lines)
    assert not any(line.startswith("RUN ") for line in lines[lines.index("USER reelmill") :])


def test_a_compiler_is_where_triton_needs_one_and_nowhere_else() -> None:
    assert any(re.search(r"install .*\bgcc\b", line) for line in stage("gpu"))
    assert not any("gcc" in line for line in stage("cpu"))


def test_the_image_has_the_python_that_the_code_is_checked_against() -> None:
    assert stage("base")[0] == f"FROM python:{PYPROJECT['tool']['pyrefly']['python-version']}-slim"


def test_what_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    copied = [name for line in stage("base") if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied)
    sent = (ROOT / "infra/Dockerfile.dockerignore").read_text().splitlines()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in sent


def test_one_version_of_ray_is_named_everywhere() -> None:
    (pinned,) = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    files = [path for path in (ROOT / "infra").rglob("*") if path.is_file() and path.suffix != ".png"]
    named = [
        found for path in files for found in re.findall(r"\bray(?:\[[\w,]+\])?(?:==|:)(\d[\w.]*)", path.read_text())
    ]
    manifests = [yaml.safe_load(path.read_text()) for path in files if path.match("kuberay/*/ray*.yaml")]
    clusters = [manifest["spec"].get("rayClusterSpec", manifest["spec"])["rayVersion"] for manifest in manifests]
    assert len(clusters) == 3
    assert {*named, *clusters} == {pinned}
