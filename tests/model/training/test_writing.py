"""Checkpoints behind the steps: one at a time, errors at the next step, a full disk."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from model.training import shards
from model.training.checkpoints import RunFolder
from model.training.parallel import ALONE
from model.training.stops import TrainingStopped
from model.training.writing import CheckpointFailed, CheckpointWriter
from tests.model.training.drawn import changed, run_fit

ONES = {"model": {"w": torch.ones(4)}}
EVERY_STEP = changed(checkpoint_every=1)


@pytest.fixture
def held(monkeypatch) -> Iterator[threading.Event]:
    """Writers stop before they publish, until the event is set."""
    may_go_on, publish = threading.Event(), shards.ShardWriter.finish

    def finish(self, metadata, results):
        may_go_on.wait(60)
        publish(self, metadata, results)

    monkeypatch.setattr(shards.ShardWriter, "finish", finish)
    yield may_go_on
    may_go_on.set()


def test_steps_go_on_while_a_checkpoint_is_written(tmp_path, held):
    seen = []

    def look(metrics: dict) -> None:
        seen.append((metrics["step"], [c.step for c in RunFolder(tmp_path).checkpoints()]))
        if metrics["step"] == 3:
            held.set()

    run_fit(tmp_path, changed(checkpoint_every=2, steps=3), on_step=look)
    assert seen == [(1, []), (2, []), (3, [])] or seen == [(1, []), (2, []), (3, [2])]
    assert [c.step for c in RunFolder(tmp_path).checkpoints()] == [2, 3]


def test_one_is_written_at_a_time(tmp_path, held):
    writer = CheckpointWriter(RunFolder(tmp_path), ALONE, keep=5)
    writer.start(1, ONES, {})
    assert RunFolder(tmp_path).newest() is None
    second = threading.Thread(target=lambda: writer.start(2, ONES, {}))
    second.start()
    second.join(0.3)
    assert second.is_alive()
    held.set()
    second.join()
    writer.wait()
    assert [c.step for c in RunFolder(tmp_path).checkpoints()] == [1, 2]


def test_old_checkpoints_go_once_the_new_one_is_there(tmp_path):
    with CheckpointWriter(RunFolder(tmp_path), ALONE, keep=2) as writer:
        for step in (1, 2, 3):
            writer.start(step, ONES, {})
    assert [c.step for c in RunFolder(tmp_path).checkpoints()] == [2, 3]


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_line_and_the_last_good_checkpoint_survives(tmp_path):
    run_fit(tmp_path, changed(steps=1))
    with largest_file(50_000), pytest.raises(CheckpointFailed) as raised:
        run_fit(tmp_path, changed(checkpoint_every=2))
    line = str(raised.value)
    folder = RunFolder(tmp_path).checkpoints_path
    assert line.startswith(f"{folder}: the checkpoint of step 2 cannot be written: [Errno 27] File too large")
    assert line.endswith("step-000001 is the last good one")
    assert "\n" not in line
    newest = RunFolder(tmp_path).newest_good()
    assert newest is not None
    assert newest.step == 1
    run_fit(tmp_path, EVERY_STEP)
    run_fit(tmp_path / "whole", EVERY_STEP)
    losses = [[line["loss"] for line in RunFolder(of).metrics()] for of in (tmp_path, tmp_path / "whole")]
    assert losses[0] == losses[1]


def test_the_error_of_a_writer_comes_up_at_the_next_step(tmp_path, monkeypatch):
    failed = threading.Event()

    def finish(self, metadata, results):
        failed.set()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards.ShardWriter, "finish", finish)
    steps = []

    def tell(metrics: dict) -> None:
        steps.append(metrics["step"])
        if metrics["step"] == 1:
            assert failed.wait(60)
            threading.Event().wait(0.3)

    with pytest.raises(CheckpointFailed, match=r"step 1 cannot be written: .*No space left.*; there is none"):
        run_fit(tmp_path, changed(checkpoint_every=1, steps=50), on_step=tell)
    assert steps == [1]


def test_metrics_that_cannot_be_written_stop_the_run(tmp_path):
    (tmp_path / "metrics.jsonl").touch()
    with largest_file(0), pytest.raises(TrainingStopped, match=r"metrics.jsonl: cannot be written: .*File too large"):
        run_fit(tmp_path, changed(steps=3))
