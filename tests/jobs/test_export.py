"""Exported weights: sampled from like the run, in the precision that is asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.cli import run_job
from model.training.checkpoints import RunFolder
from model.training.exported import load_transformer
from model.training.shards import start_writing
from tests.jobs.training.runs import write_run


def sampled(run_dir: Path, path: Path) -> np.ndarray:
    assert run_job("sample", [str(run_dir), "a red circle", "--steps", "2", "-o", str(path)]) == 0
    with Image.open(path) as image:
        return np.asarray(image)


def test_an_exported_model_samples_what_its_run_samples(run_dir: Path, tmp_path: Path, capsys) -> None:
    assert run_job("export", [str(run_dir), "-o", str(tmp_path / "model")]) == 0
    num_parameters = sum(value.numel() for value in load_transformer(run_dir).parameters())
    expected = f"{tmp_path / 'model'}: {num_parameters:,} parameters, the averaged weights in float32\n"
    assert capsys.readouterr().out == expected
    assert sorted(path.name for path in (tmp_path / "model").rglob("*") if path.is_file()) == [
        "config.json",
        "config.json",
        "model.safetensors",
    ]
    assert (sampled(tmp_path / "model", tmp_path / "a.png") == sampled(run_dir, tmp_path / "b.png")).all()


def test_the_last_weights_can_be_exported_and_another_precision(run_dir: Path, tmp_path: Path, capsys) -> None:
    checkpoint = RunFolder(run_dir).newest()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text((run_dir / "config.json").read_text())
    ema = checkpoint.tensors("average")
    last = {name: value + 1 for name, value in ema.items()}
    RunFolder(tmp_path / "run").save(2, {"average": ema, "model": last}, checkpoint.state(), keep=1)
    options = ["--weights", "last", "--dtype", "float16", "--json"]
    assert run_job("export", [str(tmp_path / "run"), "-o", str(tmp_path / "model"), *options]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["weights"], summary["dtype"]) == ("last", "float16")
    exported = load_transformer(tmp_path / "model").state_dict()
    assert all((value - last[name]).abs().max() < 0.01 for name, value in exported.items())
    assert any((value != last[name]).any() for name, value in exported.items())


def test_an_average_of_another_length_can_be_exported(run_dir: Path, tmp_path: Path, capsys) -> None:
    run, other = shutil.copytree(run_dir, tmp_path / "run"), ["-o", str(tmp_path / "other"), "--average"]
    assert run_job("export", [str(run), *other, "0.1"]) == 2
    assert "has no snapshots of averages" in capsys.readouterr().err
    checkpoint = RunFolder(run).newest()
    short = checkpoint.tensors("average")
    averages = {"average": short, "longer_average": {name: value + 1 for name, value in short.items()}}
    state = {"settings": {"average_lengths": [0.05, 0.1]}}
    start_writing(RunFolder(run).snapshot_folder_of(checkpoint.step), averages, state).result()

    assert run_job("export", [str(run), "-o", str(tmp_path / "model"), "--average", "0.1"]) == 0
    assert "an average of length 0.1 in float32" in capsys.readouterr().out
    for name, value in load_transformer(tmp_path / "model").state_dict().items():
        torch.testing.assert_close(value, averages["longer_average"][name], rtol=1e-4, atol=1e-6)
    for options in (["0.4"], ["0"], ["0.1", "--weights", "last"]):
        assert run_job("export", [str(run), *other, *options]) == 2
    assert not (tmp_path / "other").exists()


def test_a_folder_without_a_run_is_named(tmp_path: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job("export", [str(tmp_path), "-o", str(tmp_path / "model")]) == 2
    assert "is it the --out of `reelmill train`?" in capsys.readouterr().err
    (tmp_path / "config.json").write_text((run_dir / "config.json").read_text())
    assert run_job("export", [str(tmp_path), "-o", str(tmp_path / "model")]) == 2
    assert f"run {tmp_path}: {tmp_path} has no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_folder_with_another_run_is_left_as_it_is(run_dir: Path, tmp_path: Path, capsys) -> None:
    other = write_run(tmp_path / "other", release_hash="of other clips")
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    assert run_job("export", [str(run_dir), "-o", str(other)]) == 2
    assert "started with release_hash = of other clips, not hash" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before
