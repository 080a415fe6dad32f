"""Ray that does not come up: tried once more, and then said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import ray

from jobs.cli import run_job
from pipeline.ray_graphs.cluster import connect
from schemas.errors import JobError

TIMED_OUT = "The current node timed out during startup.\nThis could happen because the GCS is overloaded."
Failing = Callable[[int], list[Any]]


@pytest.fixture
def failing_ray(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Makes so many tries to start Ray fail; gives the list of the addresses asked for."""

    def make(num_failures: int) -> list[Any]:
        tries: list[Any] = []

        def init(address: str | None = None, **_: object) -> None:
            tries.append(address)
            if len(tries) - tries.count("shutdown") <= num_failures:
                raise Exception(TIMED_OUT)

        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", init)
        monkeypatch.setattr(ray, "shutdown", lambda: tries.append("shutdown"))
        return tries

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return make


def test_a_start_that_fails_is_tried_once_more(failing_ray: Failing) -> None:
    tries = failing_ray(1)
    connect()
    assert tries == ["local", "shutdown", "local"]


def test_a_second_failure_is_said_in_one_line_with_its_cause(
    failing_ray: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = failing_ray(2)
    with pytest.raises(
        JobError, match=r"^Ray cannot be started here, tried 2 times: The current node .* overloaded\.$"
    ):
        connect()
    assert tries == ["local", "shutdown", "local", "shutdown"]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    tries = failing_ray(2)
    with pytest.raises(JobError, match=r"^RAY_ADDRESS=10\.0\.0\.1:6379: "):
        connect()
    assert tries == [None, "shutdown", None, "shutdown"]


def test_a_job_without_ray_fails_with_status_1(
    failing_ray: Failing, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 127, np.uint8))
    failing_ray(2)
    status = run_job("curate", [str(tmp_path), "--out", str(tmp_path / "ds"), "--set", "caption.backend=none"])
    assert status == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("reelmill curate: Ray cannot be started here")
