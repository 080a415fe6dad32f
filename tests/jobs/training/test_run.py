"""What a run needs of a machine, when it is trained, what it says meanwhile, and how it is summed up."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.training import ray_trainer, run
from jobs.training.run import machine_resources, progress_line, require_resources, run_to_end, summarise
from model.training.checkpoints import RunFolder
from schemas.errors import UsageError
from schemas.recipe.train import TrainConfig
from tests.jobs.training.runs import logged


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_workers": 3}, "train.num_workers = 3: this machine has 2 CPUs"),
        ({"use_gpu": True}, "train.use_gpu: 1 GPUs are asked for, 0 are here"),
    ],
)
def test_a_machine_that_is_too_small_is_said_rather_than_waited_for(setting, message):
    with pytest.raises(UsageError, match=message):
        require_resources(TrainConfig(**setting), {"CPU": 2.0})


def test_a_machine_of_which_no_cpus_are_known_has_none():
    with pytest.raises(UsageError, match=r"train\.num_workers = 1: this machine has 0 CPUs"):
        require_resources(TrainConfig(), {"GPU": 1.0})


def test_a_machine_with_just_what_is_asked_for_is_large_enough():
    require_resources(TrainConfig(num_workers=2), {"CPU": 2.0})
    require_resources(TrainConfig(num_workers=2, use_gpu=True), {"CPU": 2.0, "GPU": 2.0})


def test_a_machine_has_its_cpus_or_one_where_they_cannot_be_counted(monkeypatch):
    assert machine_resources()["CPU"] == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine_resources()["CPU"] == 1


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


def test_progress_is_a_line():
    assert progress_line({}, 10) == "train: starting"
    stages = {"train": {"step": 3, "loss": 0.25, "tokens": 100, "seconds": 0.5}}
    assert progress_line(stages, 10) == "step 3/10 | loss 0.250 | 200 tokens/s"


@pytest.fixture
def trained(monkeypatch) -> list[tuple[Path, TrainConfig, Path | None]]:
    """The runs that are trained; Ray is not asked."""
    runs = []
    monkeypatch.setattr(ray_trainer, "train_with_ray", lambda *asked: runs.append(asked))
    return runs


@pytest.mark.parametrize(("steps", "is_trained"), [(3, False), (4, False), (5, True)])
def test_a_run_is_trained_until_its_last_step(tmp_path, trained, steps, is_trained):
    logged(tmp_path, 4)
    run_to_end(tmp_path, TrainConfig(steps=steps))
    assert trained == ([(tmp_path, TrainConfig(steps=steps), None)] if is_trained else [])


def test_a_run_is_trained_from_nothing_and_says_where_it_is(tmp_path, trained, monkeypatch):
    lines = []

    @contextmanager
    def lines_before_and_after(read, describe):
        lines.append(describe(read()))
        yield
        for step in (1, 2, 3):
            RunFolder(tmp_path).log({"step": step, "loss": 1.0 / step, "tokens": 50, "seconds": 0.5})
        lines.append(describe(read()))

    monkeypatch.setattr(run, "live_progress", lines_before_and_after)
    run_to_end(tmp_path, TrainConfig(steps=7))
    assert len(trained) == 1
    assert lines == ["train: starting", "step 3/7 | loss 0.333 | 100 tokens/s"]
