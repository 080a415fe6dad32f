"""How a command ends that cannot go on: one line, the right exit status, and a traceback that is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.console.naming import naming
from jobs.console.refusal import DEBUG, refusal
from schemas.errors import JobError, UsageError


class TaskError(Exception):
    """As Ray tells of what a worker raised: with the worker's traceback as the message."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("ray::scan()\n  File 'x.py', line 1\nboom")
        self.cause = cause


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kept tracebacks go."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(DEBUG, raising=False)
    return tmp_path


@pytest.fixture
def failure() -> Exception:
    try:
        raise RuntimeError("no space\n  left")
    except RuntimeError as error:
        return error


def test_a_failed_job_is_one_line_that_names_the_reason_and_the_file_with_the_traceback(
    failure: Exception, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal("reelmill train", failure) == 1
    line = capsys.readouterr().err
    found = re.fullmatch(
        r"reelmill train: failed: RuntimeError: no space left \(traceback in (\S+/reelmill-train-\S+\.log)\)\n", line
    )
    assert found
    assert Path(found[1]).parent == logs
    assert Path(found[1]).read_text().startswith("Traceback")


def test_the_traceback_is_printed_where_it_is_asked_for(
    failure: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEBUG, "1")
    assert refusal("reelmill train", failure) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("reelmill train: failed: RuntimeError")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UsageError("train.steps = 0:\n must be more"), 2, "reelmill x: train.steps = 0: must be more\n"),
        (TaskError(UsageError("safety.model 'a'")), 2, "reelmill x: safety.model 'a'\n"),
        (JobError("there is no Ray here"), 1, "reelmill x: there is no Ray here\n"),
        (KeyboardInterrupt(), 130, "reelmill x: interrupted\n"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_other_ends(
    error: BaseException, status: int, said: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal("reelmill x", error) == status
    assert capsys.readouterr().err == said
    assert not list(logs.iterdir())


def test_what_a_worker_raised_is_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal("reelmill x", TaskError(OSError("disk full"))) == 1
    assert "failed: OSError: disk full (" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("no\nfolder"), FileNotFoundError("no folder")])
def test_a_lower_layers_error_is_told_by_the_name_of_the_key(error: Exception) -> None:
    with pytest.raises(UsageError, match=r"^encode\.autoencoder = 'x': no folder$"), naming("encode.autoencoder", "x"):
        raise error


def test_an_error_that_names_its_cause_stays_as_it_is_and_a_fault_of_ours_is_not_the_users() -> None:
    with pytest.raises(UsageError, match=r"^release v1: gone$"), naming("train"):
        raise UsageError("release v1: gone")
    with pytest.raises(TypeError), naming("train"):
        raise TypeError("a mistake in the code")
