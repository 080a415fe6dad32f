"""A run in a tracker: its own numbers, one run however often it is begun, and none without."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.training import tracking
from jobs.training.tracking import flat, require_tracker, run_name, tracked
from schemas.errors import UsageError
from tests.ray_cluster import ROOT

LINE = {"step": 3, "loss": 0.5, "tokens": 10, "draws": "0f", "val_loss_by_task": {"text": 1.0}}
TRACK = """
import sys
from pathlib import Path
from jobs.training.tracking import tracked
with tracked("trackio", Path(sys.argv[1]), {"train.seed": 7}) as log:
    log({"step": int(sys.argv[2]), "loss": float(sys.argv[3])})
"""


def test_numbers_of_a_line_are_logged_and_those_of_tables_by_their_rows():
    assert flat(LINE) == {"loss": 0.5, "tokens": 10, "val_loss_by_task/text": 1.0}


def test_a_run_that_goes_on_is_one_run_in_the_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "tracked"))  # which it reads as it is imported
    for step, loss in ((1, 0.5), (2, 0.25)):
        command = [sys.executable, "-c", TRACK, str(tmp_path / "run"), str(step), str(loss)]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    with sqlite3.connect(tmp_path / "tracked" / "reelmill.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics order by step").fetchall()
        ((config,),) = database.execute("select config from configs").fetchall()
    name = run_name(tmp_path / "run")
    assert [(run, step, json.loads(metrics)) for run, step, metrics in rows] == [
        (name, 1, {"loss": 0.5}),
        (name, 2, {"loss": 0.25}),
    ]
    assert json.loads(config)["train.seed"] == 7


def test_runs_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    assert run_name(tmp_path / "a" / "run") != run_name(tmp_path / "b" / "run")
    assert run_name(tmp_path / "a" / "run").startswith("run-")


def test_without_a_tracker_nothing_is_logged(tmp_path: Path) -> None:
    with tracked("none", tmp_path, {}) as log:
        log(LINE)
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_tracker("none")
    require_tracker("trackio")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"train\.tracker = trackio: it is not installed; .*reelmill\[trackio\]"):
        require_tracker("trackio")
