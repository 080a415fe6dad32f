"""The curate job on a local Ray of two logical CPUs: tables that add up, nothing done twice, and kill -9 halfway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from jobs.cli import main
from model.builtin import BUILTIN_CAPTIONER
from pipeline.measure import registry
from pipeline.store.dataset import TEMPORARY, Dataset
from pipeline.store.pending import pending_stream_measures
from pipeline.store.views import connect
from pipeline.synthetic.truth import Truth
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, MEASURES, VIDEOS
from schemas.columns import Table
from schemas.recipe import load_recipe
from schemas.tables.measures import STREAM_MEASURES

ROOT = Path(__file__).parents[2]
SETTINGS = ["--recipe", "demo", "--set", "caption.backend=none", "--set", "embedding.model=none"]
KILL_TIMEOUT_S = 240


def sorted_rows(dataset: Dataset, table: Table) -> list[dict[str, Any]]:
    """All rows in the order of their keys."""
    return sorted(dataset.read(table).to_pylist(), key=lambda row: repr(table.key_of(row)))


@pytest.fixture(scope="module")
def inputs(drawn_corpus: Path) -> str:
    return str(drawn_corpus / "inputs.jsonl")


@pytest.fixture(scope="module")
def curated(inputs: str, two_cpus: str, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The synthetic corpus, curated without interruption."""
    dataset = Dataset(str(tmp_path_factory.mktemp("curated") / "ds"))
    assert main(["curate", inputs, "--out", dataset.location, *SETTINGS]) == 0
    return dataset


def test_every_input_is_a_row_and_the_tables_add_up(curated: Dataset, drawn_corpus: Path) -> None:
    truth = Truth.load(drawn_corpus / "truth.json")
    rows = {Path(row["uri"]).name: row for row in curated.read(VIDEOS).to_pylist()}
    assert {name: (row["status"], row["reason"]) for name, row in rows.items()} == {
        video.file: (video.status, video.reason) for video in truth.videos
    }
    counts = duckdb.sql(f"select status, count(*) from '{curated.location}/clips/*.parquet' group by 1").fetchall()
    assert set(dict(counts)) == {"pending", "rejected"}
    statuses = connect(curated).execute("select status, count(*) from clips group by 1").fetchall()
    assert set(dict(statuses)) == {"kept", "rejected"}
    (run,) = curated.runs()
    funnel = run["funnel"]
    assert (run["state"], funnel["videos in"]) == ("done", len(truth.videos))
    assert funnel["videos in"] == funnel["videos probed"] + funnel["videos failed"]
    assert funnel["clips"] == funnel["clips kept"] + funnel["clips rejected"] + funnel["clips failed"]
    assert run["recipe"]["name"] == "demo"
    assert run["stages"]["scan"]["rows"] == len(truth.videos)
    assert run["stages"]["scan"]["num_bytes"] == sum(row["file_bytes"] for row in rows.values())


def test_keys_are_there_once(curated: Dataset) -> None:
    for table in (VIDEOS, CLIPS):
        assert len(curated.keys(table)) == curated.read(table).num_rows > 0


def test_the_same_again_does_nothing(
    curated: Dataset, inputs: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("work was started")

    before = {path: path.stat().st_mtime_ns for path in Path(curated.location).rglob("*")}
    monkeypatch.setattr("pipeline.ray_graphs.cluster.connect", refuse)
    assert main(["curate", inputs, "--out", curated.location, *SETTINGS, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["inputs_done_before"] == summary["inputs"] == summary["funnel"]["videos in"]
    assert {path: path.stat().st_mtime_ns for path in Path(curated.location).rglob("*")} == before


def test_text_over_the_picture_and_edited_copies_are_rejected(curated: Dataset, drawn_corpus: Path) -> None:
    truth = Truth.load(drawn_corpus / "truth.json")
    rows = connect(curated).execute("select uri, start_us, end_us, reasons, overlay_kind from clips").fetchall()
    doubled, written = set(), set()
    for uri, start_us, end_us, reasons, kind in rows:
        video = truth.video(Path(uri).name)
        shot = video.shot_at(start_us, end_us)
        assert shot is not None
        others = set(shot.rejects) | set(shot.may_reject)
        if video.overlays and not others:
            assert "overlay_text" in reasons or "duplicate" in reasons, (video.file, kind)
            written.add(video.file)
        assert video.overlays or "overlay_text" not in reasons, (video.file, kind)
        if "duplicate" in reasons:
            doubled.add(video.file)
    assert len(written) >= 2
    assert "copy_reencoded.webm" in doubled  # the smallest of the three that show the same
    assert doubled <= {"00_cuts.mp4", "copy_reencoded.webm", "copy_retouched.mkv"}


def test_another_split_wants_another_data_set(
    curated: Dataset, inputs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = ["curate", inputs, "--out", curated.location, *SETTINGS, "--set", "split.max_clip_s=9"]
    assert main(changed) == 2
    assert "split.max_clip_s = 60.0, not 9.0; use another --out" in capsys.readouterr().err


def test_a_measure_that_changes_is_taken_again_without_touching_the_others(
    drawn_corpus: Path, two_cpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    command = ["curate", str(drawn_corpus / "videos" / "12_single.webm"), "--out", dataset.location, *SETTINGS]
    assert main(command) == 0
    before = {folder: dataset.part_files(folder) for folder in ("videos", "clips", "measures/overlay_text")}
    newer = [replace(k, version=k.version + 1) if "motion" in k.covers else k for k in registry.STREAM_KINDS]
    monkeypatch.setattr(registry, "STREAM_KINDS", tuple(newer))
    (pending,) = pending_stream_measures(dataset, registry.stream_fingerprints(load_recipe("demo").measure))
    assert set(pending.measures) == {"motion", "camera"}
    monkeypatch.undo()
    assert main([*command, "--set", "measure.sample_hz=4.0"]) == 0
    assert {folder: dataset.part_files(folder) for folder in before} == before
    again = {name for name in STREAM_MEASURES if dataset.part_files(f"measures/{name}")}
    assert again == set(STREAM_MEASURES)
    (clip,) = connect(dataset).execute("select status, motion_px_s from clips").fetchall()
    assert clip[0] == "kept"
    assert clip[1] == dataset.read(MEASURES["motion"]).to_pylist()[0]["motion_px_s"]


def test_only_new_inputs_are_read(curated: Dataset, drawn_corpus: Path, tmp_path: Path, two_cpus: str) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    videos = drawn_corpus / "videos"
    first, then = str(videos / "12_single.webm"), str(videos / "image.png")
    assert main(["curate", first, "--out", dataset.location, *SETTINGS]) == 0
    parts = dataset.part_files("videos")
    assert main(["curate", first, then, "--out", dataset.location, *SETTINGS]) == 0
    assert set(parts) < set(dataset.part_files("videos"))
    assert [run["stages"]["scan"]["rows"] for run in dataset.runs()] == [1, 1]
    assert dataset.keys(CLIPS) < curated.keys(CLIPS)


def test_a_killed_run_is_continued_to_the_same_tables(
    curated: Dataset, inputs: str, two_cpus: str, tmp_path: Path
) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    command = ["curate", inputs, "--out", dataset.location, *SETTINGS]
    environment = os.environ | {"RAY_ADDRESS": two_cpus}
    job = subprocess.Popen([sys.executable, "-m", "jobs.cli", *command], cwd=ROOT, env=environment)
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while not dataset.exists():
        assert job.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    half = dataset.read(VIDEOS).num_rows
    assert 0 < half < curated.read(VIDEOS).num_rows
    time.sleep(1)  # the cluster ends the dead job's tasks
    assert main(command) == 0
    for table in (VIDEOS, CLIPS):
        assert sorted_rows(dataset, table) == sorted_rows(curated, table)
        assert len(dataset.keys(table)) == dataset.read(table).num_rows
    assert [run["state"] for run in dataset.runs()] == ["running", "done"]
    assert not [path for path in Path(dataset.location).rglob("*") if TEMPORARY in path.name]


def test_every_kept_clip_gets_a_caption_and_an_embedding_once(
    drawn_corpus: Path, two_cpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """First without captions, then with: the clips of the first run are captioned, and only they."""
    dataset = Dataset(str(tmp_path / "ds"))
    inputs = [str(drawn_corpus / "videos" / name) for name in ("05_blink.mp4", "12_single.webm", "image.png")]
    plain = ["curate", *inputs, "--out", dataset.location, "--recipe", "demo"]
    assert main([*plain[:3], *plain[4:], "--set", "caption.backend=none"]) == 0
    assert main(plain) == 0
    captions, points = dataset.read(CAPTIONS).to_pylist(), dataset.read(EMBEDDINGS).to_pylist()
    kept = {clip_id for (clip_id,) in connect(dataset).execute("select clip_id from kept").fetchall()}
    assert {row["clip_id"] for row in captions} == {row["clip_id"] for row in points} == kept
    assert len(captions) == len(points) == len(kept) == 2
    for row in captions:
        assert row["captioner_name"] == BUILTIN_CAPTIONER
        assert row["status"] == "ok", row
        assert row["num_words"] == len(row["detailed"].split()) > 3
        assert -1 <= row["text_video_similarity"] <= 1
    assert [np.linalg.norm(row["embedding"]) for row in points] == pytest.approx([1.0, 1.0], abs=1e-4)
    runs = dataset.runs()
    assert sorted(run["stages"]["scan"]["rows"] for run in runs) == [1, 2]
    assert sum(run["stages"].get("caption", {"rows": 0})["rows"] for run in runs) == 2
    capsys.readouterr()
    assert main([*plain, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"] == {}
    _recaption(dataset, kept, capsys)


def _recaption(dataset: Dataset, kept: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Other settings make other captions beside the old ones; the same settings make none; a clip whose caption is
    gone is the only one that is captioned again."""
    again = ["recaption", dataset.location, "--set", "caption.max_new_tokens=180", "--json"]
    for num_captioned in (len(kept), 0):
        assert main(again) == 0
        assert json.loads(capsys.readouterr().out)["captioned"] == num_captioned
    rows = dataset.read(CAPTIONS).to_pylist()
    assert len({row["captioner"] for row in rows}) == 2
    assert len(rows) == 2 * len(kept)
    lost = max(rows, key=lambda row: row["captioned_us"])
    for path in dataset.part_files(CAPTIONS.folder):
        Path(path).unlink()
    dataset.write_part(CAPTIONS, [row for row in rows if row is not lost])
    assert main(again) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["captioned"] == 1
    assert "scan" not in summary["stages"]
    assert len(dataset.keys(CAPTIONS)) == len(rows)
