"""Ray that does not come up: tried once more, and then said in one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import ray
from ray._private import worker as ray_worker
from ray._private.utils import push_error_to_driver

from jobs.cli import run_job
from pipeline.ray_graphs.cluster import connect
from schemas.errors import JobError

TIMED_OUT = "The current node timed out during startup.\nThis could happen because the GCS is overloaded."
SHOWN_WITHIN_TRIES = 1200
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


def test_a_cluster_that_asks_for_a_token_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        refused = ray.exceptions.AuthenticationError("InvalidAuthToken")
        raise ConnectionError("Failed to connect to Ray cluster") from refused

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(
        JobError, match=r"^RAY_ADDRESS=10\.0\.0\.1:6379: .*it asks for a token: set RAY_AUTH_MODE=token"
    ):
        connect()


def test_a_job_without_ray_fails_with_status_1(
    failing_ray: Failing, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 127, np.uint8))
    failing_ray(2)
    status = run_job("curate", [str(tmp_path), "--out", str(tmp_path / "ds"), "--set", "caption.backend=none"])
    assert status == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("reelmill curate: Ray cannot be started here")


@pytest.mark.usefixtures("two_cpus")
def test_what_ray_says_by_itself_is_no_part_of_a_result(capfd: pytest.CaptureFixture[str]) -> None:
    """It may come between the lines of a command that prints JSON."""
    connect()
    capfd.readouterr()
    push_error_to_driver(ray_worker.global_worker, "test", "no node fits this task")
    said = ""
    for _ in range(SHOWN_WITHIN_TRIES):
        time.sleep(0.05)
        printed = capfd.readouterr()
        assert printed.out == ""
        said += printed.err
        if "no node fits this task" in said:
            return
    pytest.fail(f"not shown: {said}")
