"""Low-rank additions to the built-in model: trained on a cluster, gone on with there, exported and sampled from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from jobs.cli import run_job
from model.builtin import TRANSFORMER_FOLDER
from model.training.checkpoints import RunFolder
from model.training.exported import load_transformer
from pipeline.store.dataset import Dataset
from tests.ray_cluster import ROOT, RayCluster

SETTINGS = [
    "train.checkpoint_every=2",
    "train.tokens_per_pack=256",
    "train.warmup_steps=0",
    "train.model.preset=builtin",
    "train.objective.prediction=x0",
    "train.lora.rank=2",
]
PATIENCE_S = 300


def train(dataset: Dataset, run_dir: Path, cluster: RayCluster, steps: int, *words: str) -> dict:
    settings = [word for setting in [*SETTINGS, f"train.steps={steps}"] for word in ("--set", setting)]
    command = ["jobs.train", dataset.location, "--release", "drawn", "--out", str(run_dir), "--json", *settings, *words]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=cluster.job_environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sampled(run_dir: Path, path: Path) -> np.ndarray:
    assert run_job("sample", [str(run_dir), "a red circle", "--steps", "2", "-o", str(path)]) == 0
    with Image.open(path) as image:
        return np.asarray(image)


def test_additions_to_the_builtin_model(encoded_dataset: Dataset, tmp_path: Path, ray_cluster: RayCluster) -> None:
    run = tmp_path / "run"
    assert train(encoded_dataset, run, ray_cluster, 2, "--init", "builtin")["steps"] == 2
    assert train(encoded_dataset, run, ray_cluster, 4)["steps"] == 4  # what is added to is known to the run
    checkpoint, base = RunFolder(run).newest(), load_transformer(TRANSFORMER_FOLDER).state_dict()
    assert checkpoint is not None
    assert checkpoint.step == 4
    of_additions = sum(value.numel() for value in checkpoint.tensors("ema").values())
    assert 0 < of_additions < 0.1 * sum(value.numel() for value in base.values())
    found = load_transformer(run).state_dict()
    changed = {name for name, value in found.items() if not torch.equal(value, base[name])}
    assert changed == {name for name in base if ".attention.to_" in name and name.endswith(".weight")}
    assert run_job("export", [str(run), "-o", str(tmp_path / "model")]) == 0
    assert (sampled(tmp_path / "model", tmp_path / "a.png") == sampled(run, tmp_path / "b.png")).all()
