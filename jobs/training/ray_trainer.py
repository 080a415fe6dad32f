"""Runs `model.training.loop.fit` on the workers of Ray Train, with their devices, and reports metrics to the driver.

The state of a run is in its folder, and `model.training` always resumes from there. Ray Train therefore has nothing to
restore; a killed run, a lost worker and the same command given twice are handled in the same way.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from jobs.training.run_config import read_run_config
from jobs.training.samples import ReleaseSamples, frames_given
from jobs.training.tracking import Log, tracked
from model.training.examples import LatentStatistics
from model.training.exported import load_transformer
from model.training.loop import fit
from model.training.parallel import Worker
from model.training.step import Metrics
from pipeline.ray_graphs.cluster import connect
from pipeline.store.dataset import Dataset
from schemas.errors import JobError, UsageError
from schemas.recipe import decode_recipe
from schemas.recipe.train import TrainConfig

REPORT_EVERY_STEPS = 10
"""Not at each step, because `ray.train.report` makes all ranks wait for each other."""
WORKER_FAILURES = 2
"""How often Ray restarts the workers after one is lost."""


def train_with_ray(run_dir: Path, train: TrainConfig, init: Path | None = None) -> None:
    """Run the training of `run_dir`, which has its `config.json` already, to its last step.

    A worker asks Ray for one logical CPU and the coordinator for none, so that one worker fits on any machine.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads sleep, so that workers can share cores
    connect()
    trainer = ray.train.torch.TorchTrainer(
        train_worker,  # pyrefly: ignore  # what it returns is of the newer of Ray Train's two versions
        train_loop_config={
            "run_dir": str(run_dir),
            "train": asdict(train),
            "init": init and str(init),
            "num_threads": _threads_asked_for(),
        },
        # Which of its two versions' classes `ray.train` names is decided as it is imported.
        scaling_config=ray.train.ScalingConfig(  # pyrefly: ignore
            num_workers=train.num_workers, use_gpu=train.use_gpu, resources_per_worker=_worker_resources(train)
        ),
        run_config=ray.train.RunConfig(  # pyrefly: ignore
            name="ray",
            storage_path=str(run_dir.resolve()),
            failure_config=ray.train.FailureConfig(max_failures=WORKER_FAILURES),  # pyrefly: ignore
        ),
    )
    refused = trainer.fit().return_value  # pyrefly: ignore  # as above
    if refused is not None:
        raise refused


def train_worker(settings: dict[str, Any]) -> UsageError | JobError | None:
    """The function that each worker runs: load the samples, fit, report.

    Returns:
        Why the run cannot go on, where trying again would not help. What is raised instead, Ray tries again.
    """
    try:
        _train(settings)
    except (UsageError, JobError) as error:
        return error
    return None


def _train(settings: dict[str, Any]) -> None:
    context = ray.train.get_context()
    run_dir = Path(settings["run_dir"])
    config = read_run_config(run_dir)
    dataset = Dataset(config.dataset)
    train = _train_config(settings["train"])
    device = ray.train.torch.get_device() if train.use_gpu else torch.device("cpu")
    torch.set_num_threads(settings["num_threads"] or max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    worker = Worker(context.get_world_rank(), context.get_world_size(), device)
    with tracked(train.tracker if worker.rank == 0 else "none", run_dir, config.fixed) as log:
        fit(
            ReleaseSamples(dataset, config.release, config.encoding, train.text_mix, frames_given(train)),
            train,
            LatentStatistics(config.latent_mean, config.latent_std),
            run_dir,
            text_dim=config.text_dim,
            release_hash=config.release_hash,
            init=load_transformer(settings["init"]).state_dict() if settings["init"] else None,
            worker=worker,
            on_step=_report_to_ray(train.steps, log),
        )


def _threads_asked_for() -> int | None:
    """The user's OMP_NUM_THREADS. It is read here, because Ray sets another one in its workers."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() and int(value) > 0 else None


def _worker_resources(train: TrainConfig) -> dict[str, float]:
    return {"CPU": 1, "GPU": 1} if train.use_gpu else {"CPU": 1}


def _report_to_ray(num_steps: int, log: Log):
    def report(metrics: Metrics) -> None:
        log(metrics)
        if metrics["step"] % REPORT_EVERY_STEPS == 0 or metrics["step"] == num_steps:
            ray.train.report(metrics)

    return report


def _train_config(tree: dict[str, Any]) -> TrainConfig:
    return decode_recipe({"train": tree}).train
