"""What a run starts from: weights that fit it, and what low-rank additions are to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.cli import run_job
from jobs.training import ray_trainer, run
from jobs.training.run_config import read_run_config
from model.builtin import TRANSFORMER_FOLDER
from model.training.additions import weights_fingerprint
from model.training.exported import Base, load_transformer, read_base
from pipeline.store.dataset import Dataset
from tests.jobs.training.runs import write_run
from tests.model.transformer.published.tiny import saved, tiny_dit, tiny_wan

OF_DATA: dict[str, Any] = {"in_channels": 8, "out_channels": 8, "text_dim": 128}
SMALL = ["train.model.width=32", "train.model.depth=1", "train.model.num_heads=2"]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be trained: folder, settings, and the folder of the weights. Nothing is."""
    asked: list[tuple[Any, ...]] = []

    def train(*_: object) -> None:
        raise AssertionError("a training was started")

    monkeypatch.setattr(ray_trainer, "train_with_ray", train)
    monkeypatch.setattr(run, "run_to_end", lambda *words: asked.append(words))
    monkeypatch.setattr(run, "summarise", lambda *_: {"steps": 0} | dict.fromkeys(FIGURES, 0.0) | {"checkpoint": ""})
    return asked


FIGURES = ("loss_start", "loss_end", "val_loss_start", "val_loss_end")


def train(dataset: Dataset, out: Path, *settings: str, init: Path | str | None = None) -> int:
    words = [word for setting in settings for word in ("--set", setting)]
    init_words = ["--init", str(init)] if init else []
    return run_job("train", [dataset.location, "--release", "drawn", "--out", str(out), *words, *init_words])


def refused(capsys: pytest.CaptureFixture[str], out: Path) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not out.exists()
    return error


@pytest.fixture
def wan(tmp_path: Path) -> Path:
    pytest.importorskip("diffusers")
    return saved(tiny_wan(**OF_DATA), tmp_path / "wan")


def test_a_run_from_a_wan_has_its_model(
    encoded_dataset: Dataset, tmp_path: Path, wan: Path, started: list[tuple[Any, ...]]
) -> None:
    assert train(encoded_dataset, tmp_path / "run", init=wan) == 0
    ((_, settings, folder),) = started
    assert folder == wan
    assert (settings.model.width, settings.model.final, settings.model.preset) == (48, "table", "")
    config = read_run_config(tmp_path / "run")
    assert (config.train["model"]["qk_norm"], config.train["model"]["preset"]) == ("width", "")


@pytest.mark.parametrize(
    ("kind", "changes", "settings", "message"),
    [
        ("wan", {"in_channels": 16}, [], "its model takes latents of 16 channels, and encode.autoencoder gives 8"),
        ("wan", {"text_dim": 96}, [], "its model reads texts of width 96, and encode.text_encoder gives 128"),
        ("wan", {}, ["train.model.depth=2"], "its model has depth = 3, not 2: set train.model to that"),
        (
            "wan",
            {},
            ["train.objective.prediction=x0"],
            "answers velocity on rectified_flow, and train.objective asks for x0 on rectified_flow",
        ),
        (
            "dit",
            {},
            [],
            "answers noise on ddpm_linear with a learned variance, and train.objective asks for velocity on rectified",
        ),
    ],
)
def test_published_weights_that_do_not_fit_are_refused(
    encoded_dataset: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    changes: dict[str, Any],
    settings: list[str],
    message: str,
) -> None:
    pytest.importorskip("diffusers")
    theirs = tiny_dit() if kind == "dit" else tiny_wan(**OF_DATA | changes)
    folder = saved(theirs, tmp_path / "published")
    assert train(encoded_dataset, tmp_path / "run", *settings, init=folder) == 2
    assert f"--init {folder}: {message}" in refused(capsys, tmp_path / "run")


def test_a_dit_is_started_from_with_its_objective(
    encoded_dataset: Dataset, tmp_path: Path, started: list[tuple[Any, ...]]
) -> None:
    pytest.importorskip("diffusers")
    folder = saved(tiny_dit(in_channels=8, out_channels=16), tmp_path / "dit")
    objective = ["path=ddpm_linear", "prediction=noise", "variance=learned"]
    settings = [f"train.objective.{setting}" for setting in objective]
    assert train(encoded_dataset, tmp_path / "run", *settings, init=folder) == 0
    assert (started[0][1].model.num_labels, started[0][1].model.timesteps) == (10, "steps")


def test_a_wan_without_its_weights_is_told(
    encoded_dataset: Dataset, tmp_path: Path, wan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wan / "diffusion_pytorch_model.safetensors").unlink()
    assert train(encoded_dataset, tmp_path / "run", init=wan) == 2
    assert "--init: " in (error := refused(capsys, tmp_path / "run"))
    assert "has no diffusion_pytorch_model*.safetensors" in error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.model.preset=dit-x/2"], "train.model: preset = 'dit-x/2': no preset and no folder; did you mean dit-"),
        (["train.lora.rank=2"], "train.lora.rank = 2: name the weights that are added to with --init"),
        (["train.lora.rank=-1"], "train.lora.rank = -1: must be greater than or equal to 0"),
        (["train.lora.alpha=0"], "train.lora.alpha = 0"),
        (["train.lora.rank=2", 'train.lora.targets=["x"]'], "train.lora.targets: 'x' is no linear layer of a block"),
        (["train.lora.rank=2", "train.lora.targets=[]"], "train.lora.targets = []: name the layers that are trained"),
        (["train.lora.ranks=2"], "unknown key train.lora.ranks; did you mean train.lora.rank?"),
    ],
)
def test_bad_settings_are_a_line_that_names_the_key(
    encoded_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], message: str
) -> None:
    assert train(encoded_dataset, tmp_path / "run", *settings) == 2
    assert message in refused(capsys, tmp_path / "run")


def test_additions_are_to_the_weights_that_a_run_began_with(
    encoded_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], started: list[tuple[Any, ...]]
) -> None:
    base, out = write_run(tmp_path / "base"), tmp_path / "run"
    settings = [*SMALL, "train.lora.rank=2"]
    assert train(encoded_dataset, out, *settings, init=base) == 0
    fingerprint = weights_fingerprint(load_transformer(base).state_dict())
    assert read_base(out) == Base(str(base), fingerprint)
    assert train(encoded_dataset, out, *settings) == 0
    assert [folder for _, _, folder in started] == [base, base]
    capsys.readouterr()
    other = write_run(tmp_path / "other")
    assert train(encoded_dataset, out, *settings, init=other) == 0  # of the same weights
    assert read_base(out) == Base(str(other), fingerprint)
    assert train(encoded_dataset, out, *SMALL, "train.lora.rank=3", init=base) == 2
    assert "started with train.lora.rank = 2, not 3" in capsys.readouterr().err


def test_other_weights_are_refused(
    encoded_dataset: Dataset, tmp_path: Path, wan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    assert train(encoded_dataset, out, "train.lora.rank=2", init=wan) == 0
    theirs = tiny_wan(**OF_DATA)
    theirs.proj_out.bias += 1
    saved(theirs, other)
    capsys.readouterr()
    assert train(encoded_dataset, out, "train.lora.rank=2", init=other) == 2
    error = capsys.readouterr().err
    assert f"--init {other}: the run in {out} adds to other weights, which lay in {wan}" in error


def test_the_builtin_model_is_named_and_not_where_it_lies(encoded_dataset: Dataset, tmp_path: Path) -> None:
    settings = ["train.model.preset=builtin", "train.objective.prediction=x0", "train.lora.rank=2"]
    assert train(encoded_dataset, tmp_path / "run", *settings, init="builtin") == 0
    base = read_base(tmp_path / "run")
    assert base is not None
    assert base.folder == "builtin"
    assert base.fingerprint == weights_fingerprint(load_transformer(TRANSFORMER_FOLDER).state_dict())
