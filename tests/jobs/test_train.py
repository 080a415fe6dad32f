"""The train job on a cluster, killed there and resumed on a Ray of its own, against the plain loop in this process."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.cli import run_job
from jobs.training.run import prepare, require_resources
from jobs.training.samples import load_samples
from model.training import checkpoints
from model.training.checkpoints import RunFolder
from model.training.examples import LatentStatistics
from model.training.loop import fit
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe, load_recipe
from schemas.recipe.train import TextMix, TrainConfig
from tests.jobs.training.runs import write_run
from tests.ray_cluster import ROOT

SETTINGS = [
    "train.steps=16",
    "train.checkpoint_every=4",
    "train.validate_every=8",
    "train.tokens_per_pack=256",
    "train.model.width=48",
    "train.model.depth=2",
    "train.model.num_heads=4",
]
PATIENCE_S = 300


def train_command(dataset: str, run_dir: Path) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return [sys.executable, "-m", "jobs.train", dataset, "--release", "drawn", "--out", str(run_dir), *settings]


def test_killed_and_resumed_under_ray_equals_the_plain_loop(encoded_dataset, tmp_path, ray_cluster):
    one_thread = {"OMP_NUM_THREADS": "1"}
    command = train_command(encoded_dataset.location, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    first = subprocess.Popen(command, env=ray_cluster.job_environment | one_thread, cwd=ROOT, stderr=subprocess.DEVNULL)
    give_up_s = time.monotonic() + PATIENCE_S
    while run.newest() is None and first.poll() is None and time.monotonic() < give_up_s:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert run.newest() is not None, "it never came to a checkpoint"

    second = subprocess.run(
        [*command, "--json"],
        env=ray_cluster.environment | one_thread,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    summary = json.loads(second.stdout)
    assert summary["steps"] == 16
    assert summary["loss_end"] < summary["loss_start"]

    recipe = load_recipe("default", SETTINGS)
    config, _, _ = prepare(encoded_dataset, "drawn", recipe)
    samples = load_samples(encoded_dataset, releases.read(encoded_dataset, "drawn"), config.encoding, TextMix())
    statistics = LatentStatistics(config.latent_mean, config.latent_std)
    plain = tmp_path / "plain"
    fit(samples, recipe.train, statistics, plain, text_dim=config.text_dim, release_hash=config.release_hash)
    found, truth = run.metrics(), RunFolder(plain).metrics()
    assert [line["step"] for line in found] == list(range(1, 17))
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in truth], rel=1e-3)

    assert run_job("train", command[3:]) == 0  # there is nothing left to do
    assert run.metrics() == found


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
