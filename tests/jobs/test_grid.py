"""What a run sampled as it was trained: a row a prompt, a column a snapshot, each of its own weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.cli import run_job
from jobs.sheets import GAP_PX
from model.training.checkpoints import RunFolder
from model.training.shards import start_writing
from tests.jobs.training.runs import write_run

PROMPTS = ["a red circle", "a blue square"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with snapshots of which each has weights of its own."""
    folder = write_run(tmp_path / "run", usual_width_px=32, usual_height_px=32)
    weights = RunFolder(folder).newest().tensors("average")
    for number, step in enumerate((10, 20, 30)):
        shifted = {name: value + 0.02 * number for name, value in weights.items()}
        start_writing(RunFolder(folder).snapshot_folder_of(step), {"average": shifted}, {}).result()
    return folder


def grid(run: Path, *options: object) -> int:
    return run_job("grid", [str(run), *PROMPTS, "--steps", "2", *map(str, options)])


def cells(path: Path, columns: int) -> list[list[np.ndarray]]:
    """The frames of each clip."""
    with Image.open(path) as image:
        picture = np.asarray(image)
    height, width = len(picture) // len(PROMPTS), picture.shape[1] // columns
    return [[picture[i * height :][:32, k * width :][:, : width - GAP_PX] for k in range(columns)] for i in (0, 1)]


def test_each_prompt_is_sampled_with_the_weights_of_each_snapshot(run: Path, tmp_path: Path, capsys) -> None:
    assert grid(run, "-o", tmp_path / "grid.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == [10, 20, 30]
    found = cells(tmp_path / "grid.png", 3)
    assert found[0][0].shape == (32, 96, 3)
    flat = [cell for line in found for cell in line]
    assert all((one != other).any() for i, one in enumerate(flat) for other in flat[:i])
    assert grid(run, "-o", tmp_path / "again.png") == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "grid.png").read_bytes()


def test_the_last_snapshot_is_among_those_that_are_shown(run: Path, tmp_path: Path, capsys) -> None:
    assert grid(run, "-o", tmp_path / "grid.png", "--columns", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == [10, 30]


def test_a_damaged_snapshot_is_named(run: Path, tmp_path: Path, capsys) -> None:
    (file,) = RunFolder(run).snapshot_folder_of(20).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert grid(run, "-o", tmp_path / "grid.png") == 2
    assert f"{file} is damaged" in capsys.readouterr().err
    assert not (tmp_path / "grid.png").exists()


def test_bad_usage_is_told_before_anything_is_sampled(run: Path, tmp_path: Path, capsys) -> None:
    assert grid(run, "-o", tmp_path / "grid.mp4") == 2
    assert "must end in .png" in capsys.readouterr().err
    bare = write_run(tmp_path / "bare")
    assert grid(bare, "-o", tmp_path / "grid.png") == 2
    assert "it has no snapshots; see train.snapshot_every" in capsys.readouterr().err
