"""The train job on a cluster, killed there and resumed on a Ray of its own, against the plain loop in this process."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.cli import run_job
from jobs.training.run import prepare
from jobs.training.samples import ReleaseSamples
from model.training.checkpoints import RunFolder
from model.training.examples import LatentStatistics
from model.training.loop import fit
from schemas.recipe import load_recipe
from schemas.recipe.train import TextMix
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

    recipe = load_recipe("default", SETTINGS)
    config, _, _ = prepare(encoded_dataset, "drawn", recipe)
    samples = ReleaseSamples(encoded_dataset, "drawn", config.encoding, TextMix())
    statistics = LatentStatistics(config.latent_mean, config.latent_std)
    plain = tmp_path / "plain"
    fit(samples, recipe.train, statistics, plain, text_dim=config.text_dim, release_hash=config.release_hash)
    found, truth = run.metrics(), RunFolder(plain).metrics()
    assert (summary["loss_start"], summary["loss_end"]) == (found[0]["loss"], found[-1]["loss"])
    assert [line["step"] for line in found] == list(range(1, 17))
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in truth], rel=1e-3)

    assert run_job("train", command[3:]) == 0  # there is nothing left to do
    assert run.metrics() == found
