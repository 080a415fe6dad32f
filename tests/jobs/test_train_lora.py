"""Low-rank additions to the built-in model: trained by the command, gone on with, exported and sampled from.

The worker runs in this process, without Ray; that Ray runs it is tested of a run of all weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ray.train
import torch
from PIL import Image

from jobs.cli import run_job
from jobs.training import ray_trainer
from model.builtin import TRANSFORMER_FOLDER
from model.training.checkpoints import RunFolder
from model.training.exported import load_transformer
from pipeline.store.dataset import Dataset
from schemas.recipe.train import TrainConfig

SETTINGS = [
    "train.checkpoint_every=2",
    "train.tokens_per_pack=256",
    "train.warmup_steps=0",
    "train.model.preset=builtin",
    "train.objective.prediction=x0",
    "train.lora.rank=2",
]


@pytest.fixture(autouse=True)
def worker_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"get_local_world_size": lambda: 1, "get_world_rank": lambda: 0, "get_world_size": lambda: 1}
    monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(**alone))
    monkeypatch.setattr(ray.train, "report", lambda metrics: None)

    def train_here(run_dir: Path, train: TrainConfig, init: Path | None = None) -> None:
        settings = {"run_dir": str(run_dir), "train": asdict(train), "init": init and str(init), "num_threads": 1}
        ray_trainer.train_worker(settings)

    monkeypatch.setattr(ray_trainer, "train_with_ray", train_here)


def train(dataset: Dataset, run_dir: Path, steps: int, *words: str) -> int:
    settings = [word for setting in [*SETTINGS, f"train.steps={steps}"] for word in ("--set", setting)]
    command = [dataset.location, "--release", "drawn", "--out", str(run_dir), "--json", *settings, *words]
    return run_job("train", command)


def sampled(run_dir: Path, path: Path) -> np.ndarray:
    assert run_job("sample", [str(run_dir), "a red circle", "--steps", "2", "-o", str(path)]) == 0
    with Image.open(path) as image:
        return np.asarray(image)


def test_additions_to_the_builtin_model(encoded_dataset: Dataset, tmp_path: Path, capsys: Any) -> None:
    run = tmp_path / "run"
    assert train(encoded_dataset, run, 2, "--init", "builtin") == 0
    capsys.readouterr()
    assert train(encoded_dataset, run, 4) == 0  # what is added to is known to the run
    assert json.loads(capsys.readouterr().out)["steps"] == 4
    checkpoint, base = RunFolder(run).newest(), load_transformer(TRANSFORMER_FOLDER).state_dict()
    assert checkpoint is not None
    assert checkpoint.step == 4
    of_additions = sum(value.numel() for value in checkpoint.tensors("average").values())
    assert 0 < of_additions < 0.1 * sum(value.numel() for value in base.values())
    found = load_transformer(run).state_dict()
    changed = {name for name, value in found.items() if not torch.equal(value, base[name])}
    assert changed == {name for name in base if "attention.to_" in name and name.endswith(".weight")}
    assert run_job("export", [str(run), "-o", str(tmp_path / "model")]) == 0
    assert (sampled(tmp_path / "model", tmp_path / "a.png") == sampled(run, tmp_path / "b.png")).all()
