"""What the train job checks before it starts, and what it says at its end."""

import json
from pathlib import Path

import pytest

from jobs.cli import run_job
from jobs.training import ray_trainer, run
from jobs.training.run import prepare
from jobs.training.run_config import write_run_config
from model.training import checkpoints
from model.training.checkpoints import RunFolder
from model.training.stops import TrainingDiverged
from model.transformer.transformer import count_parameters
from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe, load_recipe
from tests.jobs.training.runs import SMALL, logged, write_run

SETTINGS = ["train.steps=4", "train.model.width=32", "train.model.depth=1", "train.model.num_heads=2"]
"""Of a finished run of the transformer in `runs`."""


@pytest.fixture(autouse=True)
def no_training(monkeypatch) -> None:
    """What should be refused or is finished must not start Ray, even where the code is wrong."""

    def train(*_: object) -> None:
        raise AssertionError("a training was started")

    monkeypatch.setattr(ray_trainer, "train_with_ray", train)


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


def damage(file: Path) -> Path:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return file


def test_a_damaged_checkpoint_is_named_and_set_aside(encoded_dataset, tmp_path, caplog, monkeypatch):
    trained = []
    monkeypatch.setattr(ray_trainer, "train_with_ray", lambda *asked: trained.append(asked))
    command = write_finished_run(encoded_dataset, tmp_path)
    run_of = RunFolder(tmp_path)
    run_of.save(3, {}, {"transformer": vars(SMALL)}, keep=2)
    file = damage(run_of.folder_of(4) / "state.json")
    assert run_job("train", command) == 0
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"{file} is damaged; the checkpoint before it is used"]
    assert [checkpoint.step for checkpoint in run_of.checkpoints()] == [3]
    assert len(trained) == 1


def test_a_run_of_which_no_checkpoint_is_good_is_refused_in_a_line(encoded_dataset, tmp_path, capsys):
    command = write_finished_run(encoded_dataset, tmp_path)
    file = damage(RunFolder(tmp_path).folder_of(4) / "state.json")
    assert run_job("train", command) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"reelmill train: --out: {file} is damaged; no other checkpoint is good: choose another")


def test_a_setting_that_losses_depend_on_is_refused_by_name(encoded_dataset, tmp_path, capsys):
    command = write_finished_run(encoded_dataset, tmp_path)
    assert run_job("train", [*command, "--set", "train.text_drop=0.5"]) == 2
    assert "started with train.text_drop = 0.1, not 0.5; choose another --out" in capsys.readouterr().err


def test_what_ends_a_run_on_its_workers_is_one_line(encoded_dataset, tmp_path, capsys, monkeypatch):
    def stop(*_: object) -> None:
        raise TrainingDiverged.at(7, float("nan"), 1.0, ["clip-1", "clip-2"])

    monkeypatch.setattr(ray_trainer, "train_with_ray", stop)
    command = write_finished_run(encoded_dataset, tmp_path)
    assert run_job("train", [*command, "--set", "train.steps=9"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reelmill train: ")]
    assert line.startswith("reelmill train: step 7: the loss is nan and the norm of the gradients 1.0")
    assert "its samples are clip-1, clip-2:" in line


def test_two_runs_do_not_train_in_one_folder(encoded_dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoints, "LOCK_WAIT_S", 0.0)
    with RunFolder(tmp_path).exclusive():
        assert train_again(encoded_dataset, tmp_path) == 2
    assert capsys.readouterr().err == f"reelmill train: --out: another process is training in {tmp_path}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--release", "other"], "release other"),
        (["--release", "drawn", "--set", "train.stepz=1"], "recipe drawn: unknown key train.stepz"),
        (["--release", "drawn", "--set", "train.model.num_heads=5"], "train.model: num_heads = 5 does not divide"),
        (
            ["--release", "drawn", "--set", "train.objective.variance=learned"],
            "train.objective: variance = 'learned' needs path = 'ddpm_linear' or 'ddpm_cosine': 'rectified_flow'",
        ),
        (["--release", "drawn", "--set", "train.tokens_per_pack=1"], "train.tokens_per_pack = 1"),
        (["--release", "drawn", "--set", "encode.autoencoder=/nosuch"], "encode.autoencoder = '/nosuch'"),
        (["--release", "drawn", "--set", "encode.text_encoder=/nosuch"], "encode.text_encoder = '/nosuch'"),
        (["--release", "drawn", "--out", "/proc/nowhere"], "cannot be written"),
        (["--release", "drawn", "--out", "s3://bucket/run"], "--out s3://bucket/run: a run needs a folder of a file"),
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


def write_finished_run(dataset: Dataset, run_dir: Path, *more_settings: str) -> list[str]:
    """A run that has reached its last step; the command that trains it."""
    settings = [*SETTINGS, *more_settings]
    config, _, _ = prepare(dataset, "drawn", load_recipe("default", settings))
    write_run_config(run_dir, config)
    folder = logged(run_dir, 3)
    folder.log({"step": 4, "loss": 2.0, "val_loss": 0.5})
    folder.save(4, {}, {"transformer": vars(SMALL)}, keep=1)
    words = [word for setting in settings for word in ("--set", setting)]
    return [dataset.location, "--release", "drawn", "--out", str(run_dir), *words]


def records(dataset: Dataset, run_dir: Path) -> list[tuple[str, str, float | None]]:
    """Job, state and last loss of the runs of the data set that were written to a folder."""
    runs = [run for run in dataset.runs() if run.get("out") == str(run_dir)]
    return [(run["job"], run["state"], run.get("loss_end")) for run in runs]


def test_a_finished_run_is_summarised_again_and_not_trained(encoded_dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "live_progress", None)  # which nothing but training needs
    command = write_finished_run(encoded_dataset, tmp_path)
    assert run_job("train", command) == 0
    printed = capsys.readouterr()
    checkpoint = tmp_path / "checkpoints" / "step-000004"
    assert printed.out == f"4 steps; loss 1.000 -> 2.000, validation 0.100 -> 0.500; {checkpoint}\n"
    assert f"release drawn: 12 clips, {6 * 72 + 3 * 48 + 3 * 16} tokens an epoch" in printed.err
    assert run_job("train", [*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["loss_end"] == 2.0
    assert 0 <= summary["seconds"] < 60
    assert records(encoded_dataset, tmp_path) == [("train", "done", 2.0)] * 2


def test_a_run_that_is_killed_has_a_record_of_where_it_was(encoded_dataset, tmp_path, monkeypatch):
    def die(*_: object) -> None:
        raise SystemExit(9)

    monkeypatch.setattr(run, "run_to_end", die)
    with pytest.raises(SystemExit):
        run_job("train", write_finished_run(encoded_dataset, tmp_path))
    assert records(encoded_dataset, tmp_path) == [("train", "running", None)]


def test_a_cluster_may_yet_grow_so_what_it_has_is_not_checked(encoded_dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:6379")  # which a finished run does not ask
    command = write_finished_run(encoded_dataset, tmp_path, "train.num_workers=999", "train.packs_per_step=999")
    assert run_job("train", command) == 0


def test_a_run_starts_from_another_one_of_the_same_model(encoded_dataset, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(run, "run_to_end", lambda *asked: started.append(asked[2]))
    monkeypatch.setattr(run, "summarise", lambda *_: pytest.skip("there is no run to sum up"))
    config, _, _ = prepare(encoded_dataset, "drawn", load_recipe("default", SETTINGS))
    init = write_run(tmp_path / "init", **vars(config))
    with pytest.raises(pytest.skip.Exception):
        run_job("train", [*write_finished_run(encoded_dataset, tmp_path / "run"), "--init", str(init)])
    assert started == [init]


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, [], "its model has width = 32, not 192; depth = 1, not 6; num_heads = 2, not 6: set train.model to that"),
        ({"autoencoder_fingerprint": "e"}, SETTINGS, "was trained with autoencoder_fingerprint = e, not "),
        ({"text_encoder_fingerprint": "e"}, SETTINGS, "was trained with text_encoder_fingerprint = e, not "),
        (
            {},
            [*SETTINGS, "train.objective.prediction=x0"],
            "was trained with predicted = velocity on rectified_flow, not x0 on rectified_flow",
        ),
        (
            {},
            [*SETTINGS, "train.objective.path=ddpm_cosine", "train.objective.variance=learned"],
            "was trained with predicted = velocity on rectified_flow, not velocity on ddpm_cosine with a learned",
        ),
    ],
)
def test_a_run_that_another_cannot_start_from_is_refused(encoded_dataset, tmp_path, capsys, changes, settings, message):
    init = write_run(tmp_path / "init", **changes)
    words = [word for setting in settings for word in ("--set", setting)]
    command = [encoded_dataset.location, "--release", "drawn", "--out", str(tmp_path / "run"), *words]
    assert run_job("train", [*command, "--init", str(init)]) == 2
    error = capsys.readouterr().err
    assert f"--init {init}: {message}" in error
    assert error.count("\n") == 1
    assert run_job("train", [*command, "--init", str(tmp_path)]) == 2
    assert f"--init: {tmp_path} has no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_says_what_a_run_takes_and_begins_none(encoded_dataset, tmp_path, capsys):
    arguments = [encoded_dataset.location, "--release", "drawn", "--out", str(tmp_path / "run"), "--dry-run"]
    assert run_job("train", [*arguments, "--set", "train.steps=500", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    config, transformer, tokens = prepare(encoded_dataset, "drawn", Recipe())
    assert facts["samples"] + facts["held_out"] == config.num_clips
    assert facts["epoch_tokens"] < tokens
    assert facts["parameters"] == count_parameters(transformer)
    assert facts["flops"] == pytest.approx(500 * facts["step_flops"])
    assert facts["hours"] > 0
    assert run_job("train", [*arguments, "--gpu", "H100"]) == 0
    assert "time on 1 h100 at 33% of the peak" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "h100"], "--gpu: is for --dry-run; a run uses the GPUs that Ray finds, with train.use_gpu = true"),
        (["--gpu", "gtx", "--dry-run"], "--gpu gtx: must be one of v100, a100"),
    ],
)
def test_a_gpu_is_named_for_a_dry_run_only(encoded_dataset, tmp_path, capsys, arguments, message):
    assert run_job("train", [encoded_dataset.location, "--release", "drawn", "--out", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err
