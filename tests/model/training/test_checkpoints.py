"""The run folder: one process at a time, whole checkpoints only, metrics up to a step."""

import pytest
import torch

from model.training import checkpoints
from model.training.checkpoints import RunFolder


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_second_process_waits_a_minute_for_the_folder_and_is_then_refused(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(checkpoints, "time", clock)
    with RunFolder(tmp_path / "runs" / "run").exclusive():
        assert clock.now_s == 0.0
        with pytest.raises(ValueError, match="another process"), RunFolder(tmp_path / "runs" / "run").exclusive():
            pass
    assert 60.0 <= clock.now_s <= 61.0


def test_a_second_process_has_the_folder_as_soon_as_the_first_is_done(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(checkpoints, "time", clock)
    first = RunFolder(tmp_path).exclusive()
    first.__enter__()

    def let_go(seconds: float) -> None:
        clock.now_s += seconds
        first.__exit__(None, None, None)

    monkeypatch.setattr(clock, "sleep", let_go)
    with RunFolder(tmp_path).exclusive():
        assert 0.0 < clock.now_s < 1.0


def saved(run: RunFolder, *steps: int, keep: int) -> list[int]:
    for step in steps:
        run.save(step, {"model": {"w": torch.full((2,), float(step))}}, {"step": step}, keep)
    return [checkpoint.step for checkpoint in run.checkpoints()]


def test_the_newest_checkpoints_are_kept_whole(tmp_path):
    run = RunFolder(tmp_path)
    assert run.newest() is None
    assert saved(run, 2, 3, 999_999, 1_000_000, keep=3) == [3, 999_999, 1_000_000]
    (tmp_path / "checkpoints" / "step-2000000.partial").mkdir()
    assert [checkpoint.step for checkpoint in run.checkpoints()] == [3, 999_999, 1_000_000]
    newest = run.newest()
    assert newest is not None
    assert newest.tensors("model")["w"].tolist() == [1e6, 1e6]
    assert newest.state() == {"step": 1_000_000}


def spoil(run: RunFolder, step: int) -> str:
    """Change a byte of a checkpoint; returns the path of the file."""
    (file,) = run.folder_of(step).glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return str(file)


def test_a_damaged_checkpoint_is_named_and_the_last_good_one_is_used(tmp_path, caplog):
    run = RunFolder(tmp_path)
    saved(run, 1, 2, 3, keep=3)
    file = spoil(run, 3)
    newest = run.newest_good()
    assert newest is not None
    assert newest.step == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"{file} is damaged; the checkpoint before it is used"]
    run.set_aside_after(2)
    assert [checkpoint.step for checkpoint in run.checkpoints()] == [1, 2]
    assert (run.checkpoints_path / "step-000003.damaged").is_dir()
    assert saved(run, 3, keep=2) == [2, 3]


def test_a_run_without_a_good_checkpoint_does_not_begin_anew(tmp_path):
    run = RunFolder(tmp_path)
    assert run.newest_good() is None
    saved(run, 1, keep=1)
    file = spoil(run, 1)
    with pytest.raises(ValueError, match=f"^{file} is damaged; no other checkpoint is good: choose another folder"):
        run.newest_good()


def test_a_checkpoint_of_an_older_version_is_refused_in_a_line(tmp_path):
    folder = RunFolder(tmp_path).folder_of(4)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "state.json").write_text("{}")
    with pytest.raises(ValueError, match=r"manifest.json is missing: damaged, or written by another version of Reel"):
        RunFolder(tmp_path).newest_good()


@pytest.mark.parametrize("keep", [0, 1])
def test_one_checkpoint_is_always_kept(tmp_path, keep):
    assert saved(RunFolder(tmp_path), 1, 2, 3, keep=keep) == [3]


def test_metrics_are_cut_at_a_step_and_at_a_half_line(tmp_path):
    run = RunFolder(tmp_path / "runs" / "run")
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
    assert [path.name for path in run.path.iterdir()] == ["metrics.jsonl"]
