"""The run folder: one process at a time, whole checkpoints only, metrics up to a step."""

import pytest
import torch

from model.training import checkpoints
from model.training.checkpoints import RunFolder
from schemas.errors import UsageError


def test_two_processes_do_not_train_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "LOCK_WAIT_S", 0.1)
    run = RunFolder(tmp_path)
    with run.exclusive(), pytest.raises(UsageError, match="another process"), RunFolder(tmp_path).exclusive():
        pass
    with run.exclusive():
        pass


def test_the_newest_checkpoints_are_kept_whole(tmp_path):
    run = RunFolder(tmp_path)
    for step in (2, 10, 100):
        run.save(step, {"model": {"w": torch.full((2,), float(step))}}, {"step": step}, keep=2)
    (tmp_path / "checkpoints" / "step-000200.partial").mkdir()
    assert [c.step for c in run.checkpoints()] == [10, 100]
    newest = run.newest()
    assert newest is not None
    assert newest.tensors("model")["w"].tolist() == [100.0, 100.0]
    assert newest.state() == {"step": 100}


def test_metrics_are_cut_at_a_step_and_at_a_half_line(tmp_path):
    run = RunFolder(tmp_path)
    assert run.metrics() == []
    run.truncate_metrics(0)
    for step in (1, 2, 3):
        run.log({"step": step})
    with run.metrics_path.open("a") as stream:
        stream.write('{"st')
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]
    run.truncate_metrics(2)
    run.log({"step": 3, "again": True})
    assert run.metrics() == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]
