"""The record of a run, the totals of its graphs, and the lines that count what the stages report."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.steps.progress_lines import clip_measure_line, scan_line
from jobs.steps.run import Run, Stages
from pipeline.ingest.inputs import list_inputs
from pipeline.measure.clip_measures import ClipModels
from pipeline.ray_graphs import cluster
from pipeline.ray_graphs.cluster import OUTPUT, VIDEO_ROWS
from pipeline.ray_graphs.scan import Scanning
from pipeline.scan.scan import ScanConfig
from pipeline.store.dataset import Dataset
from pipeline.store.run_statistics import RunStatistics
from schemas.recipe import Recipe, decode_recipe


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Dataset(str(tmp_path)), "curate", Recipe(name="mine"))


def test_a_run_that_changes_nothing_leaves_no_record(run: Run) -> None:
    run.end(funnel={})
    assert not run.has_begun
    assert run.dataset.runs() == []


def test_a_run_has_one_record_that_says_whether_it_ended(run: Run) -> None:
    run.begin()
    run.begin()
    (record,) = run.dataset.runs()
    assert (record["job"], record["state"], record["recipe"]["name"]) == ("curate", "running", "mine")
    run.end(funnel={"clips": 3})
    (record,) = run.dataset.runs()
    assert (record["state"], record["funnel"], record["stages"]) == ("done", {"clips": 3}, {})
    assert record["seconds"] >= 0


def test_totals_of_graphs_are_added_and_each_line_sees_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With statistics in this process in place of Ray's."""
    described: list[str] = []
    taken: list[str] = []

    @contextmanager
    def shown_at_the_end(read: Callable[[], Stages], describe: Callable[[Stages], str]) -> Iterator[None]:
        yield
        described.append(describe(read()))

    def make(report: RunStatistics) -> RunStatistics:
        report.add("scan", 2, 1.5, 100, {"clips": 4})
        report.add("write", 6, 0.5, 0, {})
        return report

    monkeypatch.setattr(cluster, "connect", lambda: None)
    monkeypatch.setattr(cluster, "start_statistics", RunStatistics)
    monkeypatch.setattr(cluster, "ActorReporter", lambda statistics: statistics)
    monkeypatch.setattr(cluster, "read_statistics", RunStatistics.totals)
    monkeypatch.setattr(cluster, "drain", lambda graph, take: take("given"))
    monkeypatch.setattr("jobs.steps.run.live_progress", shown_at_the_end)
    for _ in range(2):
        run.graph(make, scan_line(2), taken.append)
    assert run.has_begun
    assert run.stages["scan"] == {"rows": 4, "seconds": 3.0, "num_bytes": 200, "counts": {"clips": 8}}
    assert run.stages["write"]["rows"] == 12
    assert described == ["videos 2/2 | clips 4 | 0 frames/s a task"] * 2
    assert taken == ["given"] * 2


def test_the_line_of_clip_measures_counts_what_they_report() -> None:
    statistics = RunStatistics()
    clips = [pickle.dumps({"clip_id": clip_id, "needs": {}}) for clip_id in ("c0", "c1")]
    rows = {"clip": clips, "scores": ["{}"] * 2, "failure": ["", "gone"], "transient": [False] * 2}
    rows |= {"frames": [b""] * 2, "shape": [[0, 2, 2, 3]] * 2, "times_s": [[0.0]] * 2}
    recipe = decode_recipe({"overlay_text": {"enabled": False}, "embedding": {"model": "none"}})
    ClipModels(recipe, {}, statistics.add).rows(pa.table(rows))
    assert clip_measure_line(3)(statistics.totals()) == "measured 2/3 clips"


def test_the_line_of_scanning_counts_what_scanning_reports(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (listed,) = list_inputs([str(tmp_path)]).table.to_pylist()
    statistics = RunStatistics()
    scanning = Scanning(ScanConfig.of(run.recipe), run.recipe.limits, statistics.add)  # type: ignore[arg-type]
    (row,) = scanning({VIDEO_ROWS: pickle.dumps([listed])})
    assert scan_line(1)(statistics.totals()).startswith("videos 1/1 | 1 failed | clips 0")
    rows = pickle.loads(row[OUTPUT])
    assert [(table.name, part.num_rows) for table, part in rows.items()] == [("clips", 0), ("videos", 1)]
