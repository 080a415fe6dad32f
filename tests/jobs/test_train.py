"""What the train job checks before it starts, and what it says at its end."""

import json
from pathlib import Path

import pytest

from jobs.cli import run_job
from jobs.training import run
from jobs.training.run import prepare, progress_line, require_resources, summarise
from jobs.training.run_config import write_run_config
from model.training import checkpoints
from model.training.checkpoints import RunFolder
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe, load_recipe
from schemas.recipe.train import TrainConfig
from tests.jobs.training.runs import SMALL, write_run

SETTINGS = ["train.steps=4", "train.model.width=32", "train.model.depth=1", "train.model.num_heads=2"]
"""Of a finished run of the transformer in `runs`."""


def train_again(dataset: Dataset, run_dir: Path) -> int:
    return run_job("train", [dataset.location, "--release", "drawn", "--out", str(run_dir)])


def test_another_model_does_not_go_on_with_a_run(encoded_dataset, tmp_path, capsys):
    config, _, _ = prepare(encoded_dataset, "drawn", Recipe())
    write_run(tmp_path, **vars(config))  # whose checkpoint is of a smaller transformer
    before = (tmp_path / "config.json").read_text()
    assert train_again(encoded_dataset, tmp_path) == 2
    error = capsys.readouterr().err
    assert "train.model: " in error
    assert "was trained with another model" in error
    assert error.count("\n") == 1
    assert (tmp_path / "config.json").read_text() == before


def test_two_runs_do_not_train_in_one_folder(encoded_dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoints, "LOCK_WAIT_S", 0.0)
    with RunFolder(tmp_path).exclusive():
        assert train_again(encoded_dataset, tmp_path) == 2
    assert capsys.readouterr().err == f"reelmill train: --out: another process is training in {tmp_path}\n"


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"num_workers": 3}, "train.num_workers = 3"), ({"use_gpu": True}, "train.use_gpu")],
)
def test_a_machine_that_is_too_small_is_said_rather_than_waited_for(setting, message):
    with pytest.raises(UsageError, match=message):
        require_resources(TrainConfig(**setting), {"CPU": 2.0})
    require_resources(TrainConfig(num_workers=2), {"CPU": 2.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--release", "other"], "release other"),
        (["--release", "drawn", "--set", "train.stepz=1"], "recipe drawn: unknown key train.stepz"),
        (["--release", "drawn", "--set", "train.model.num_heads=5"], "train.model: num_heads = 5 does not divide"),
        (["--release", "drawn", "--set", "train.tokens_per_pack=1"], "train.tokens_per_pack = 1"),
        (["--release", "drawn", "--set", "encode.autoencoder=/nosuch"], "encode.autoencoder = '/nosuch'"),
        (["--release", "drawn", "--set", "encode.text_encoder=/nosuch"], "encode.text_encoder = '/nosuch'"),
        (["--release", "drawn", "--out", "/proc/nowhere"], "cannot be written"),
        (
            ["--release", "drawn", "--set", "train.num_workers=999", "--set", "train.packs_per_step=999"],
            "train.num_workers = 999",
        ),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(encoded_dataset, tmp_path, capsys, arguments, message):
    default = [] if "--out" in arguments else ["--out", str(tmp_path / "run")]
    assert run_job("train", [encoded_dataset.location, *arguments, *default]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def logged(run_dir: Path, num_steps: int) -> RunFolder:
    """A run whose loss is the number of the step, validated at every fourth."""
    folder = RunFolder(run_dir)
    for step in range(1, num_steps + 1):
        folder.log({"step": step, "loss": float(step)} | ({"val_loss": step / 10} if step % 4 == 1 else {}))
    folder.save(num_steps, {}, {}, keep=1)
    return folder


@pytest.mark.parametrize(
    ("num_steps", "start", "end"),
    [(1, 1.0, 1.0), (9, 1.0, 9.0), (40, (1 + 4) / 2, (37 + 40) / 2), (400, (1 + 20) / 2, (381 + 400) / 2)],
)
def test_the_summary_has_the_mean_losses_of_the_first_and_last_tenth_of_at_most_twenty_steps(
    tmp_path, num_steps, start, end
):
    logged(tmp_path, num_steps)
    last_validated = (num_steps - 1) // 4 * 4 + 1
    assert summarise(tmp_path, 1.26) == {
        "run": str(tmp_path),
        "steps": num_steps,
        "loss_start": start,
        "loss_end": end,
        "val_loss_start": 0.1,
        "val_loss_end": last_validated / 10,
        "checkpoint": str(tmp_path / "checkpoints" / f"step-{num_steps:06d}"),
        "seconds": 1.3,
    }


def test_a_finished_run_is_summarised_again_and_not_trained(encoded_dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "live_progress", None)  # which nothing but training needs
    config, _, _ = prepare(encoded_dataset, "drawn", load_recipe("default", SETTINGS))
    write_run_config(tmp_path, config)
    folder = logged(tmp_path, 3)
    folder.log({"step": 4, "loss": 2.0, "val_loss": 0.5})
    folder.save(4, {}, {"transformer": vars(SMALL)}, keep=1)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    command = [encoded_dataset.location, "--release", "drawn", "--out", str(tmp_path), *settings]
    assert run_job("train", command) == 0
    printed = capsys.readouterr()
    checkpoint = tmp_path / "checkpoints" / "step-000004"
    assert printed.out == f"4 steps; loss 1.000 -> 2.000, validation 0.100 -> 0.500; {checkpoint}\n"
    assert f"release drawn: 12 clips, {6 * 72 + 3 * 48 + 3 * 16} tokens an epoch" in printed.err
    assert run_job("train", [*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss_end"] == 2.0


def test_progress_is_a_line():
    assert progress_line({}, 10) == "train: starting"
    stages = {"train": {"step": 3, "loss": 0.25, "tokens": 100, "seconds": 0.5}}
    assert progress_line(stages, 10) == "step 3/10 | loss 0.250 | 200 tokens/s"
