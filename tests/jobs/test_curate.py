"""The curate job on a cluster of two logical CPUs: tables that add up, nothing done twice, and kill -9 halfway."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from jobs.cli import main
from model.builtin import BUILTIN_CAPTIONER
from pipeline.store.dataset import TEMPORARY, Dataset
from pipeline.store.views import connect
from pipeline.synthetic.truth import Truth
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, VIDEOS
from schemas.columns import Table
from schemas.tables.measures import STREAM_MEASURES
from tests.ray_cluster import ROOT, RayCluster

SETTINGS = ["--recipe", "demo", "--set", "caption.backend=none", "--set", "embedding.model=none"]
KILL_TIMEOUT_S = 240
INTERRUPTED = (
    "00_cuts.mp4",
    "02_fade.mkv",
    "07_rotated.mp4",
    "copy_exact.mp4",
    "cut_short.webm",
    "empty.mp4",
    "image.png",
)
SMALL = ("05_blink.mp4", "12_single.webm", "image.png")
NO_CAPTIONS = ["--recipe", "demo", "--set", "caption.backend=none"]
OLDER, UNTOUCHED = "a fingerprint of older code", 0.777


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


@pytest.fixture(scope="module")
def scanned_once(drawn_corpus: Path, two_cpus: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two of the small inputs, one of them kept, without captions."""
    folder = tmp_path_factory.mktemp("small") / "ds"
    assert main(["curate", *small_inputs(drawn_corpus)[:2], "--out", str(folder), *NO_CAPTIONS]) == 0
    return folder


@pytest.fixture
def small(scanned_once: Path, tmp_path: Path) -> Dataset:
    return Dataset(str(shutil.copytree(scanned_once, tmp_path / "ds")))


def small_inputs(corpus: Path) -> list[str]:
    return [str(corpus / "videos" / name) for name in SMALL]


def test_a_measure_whose_code_has_changed_is_taken_again_without_touching_the_others(
    small: Dataset, drawn_corpus: Path
) -> None:
    """All scores of the clips are made wrong, and some are marked as older code's: only those are taken again."""
    truth = {row["clip_id"]: row["motion_px_s"] for row in small.read(CLIPS).to_pylist()}
    aged = [as_older_code_left_it(row) for row in small.read(CLIPS).to_pylist()]
    for path in small.part_files(CLIPS.folder):
        Path(path).unlink()
    small.write_part(CLIPS, aged)
    before = parts(small)
    assert main(["curate", *small_inputs(drawn_corpus)[:2], "--out", small.location, *NO_CAPTIONS]) == 0
    assert {path: parts(small).get(path) for path in before} == before
    assert {name for name in STREAM_MEASURES if small.part_files(f"measures/{name}")} == {"motion", "camera"}
    found = connect(small).execute("select clip_id, motion_px_s, brightness from clips").fetchall()
    assert {clip_id: (motion, brightness) for clip_id, motion, brightness in found} == {
        clip_id: (motion, pytest.approx(UNTOUCHED)) for clip_id, motion in truth.items()
    }


def as_older_code_left_it(row: dict[str, Any]) -> dict[str, Any]:
    measured = json.loads(row["measured"]) | {"motion": OLDER, "camera": OLDER}
    return row | {"measured": json.dumps(measured), "motion_px_s": 99.0, "brightness": UNTOUCHED}


def parts(dataset: Dataset) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in dataset.part_files("")}


def test_a_killed_run_is_continued_to_the_same_tables(
    curated: Dataset, drawn_corpus: Path, ray_cluster: RayCluster, tmp_path: Path
) -> None:
    dataset, some = Dataset(str(tmp_path / "ds")), tmp_path / "some.jsonl"
    lines = (drawn_corpus / "inputs.jsonl").read_text().splitlines()
    some.write_text("\n".join(line for line in lines if Path(json.loads(line)["uri"]).name in INTERRUPTED))
    command = ["curate", str(some), "--out", dataset.location, *SETTINGS]
    job = subprocess.Popen([sys.executable, "-m", "jobs.cli", *command], cwd=ROOT, env=ray_cluster.job_environment)
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while not dataset.exists():
        assert job.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    half = dataset.read(VIDEOS).num_rows
    assert 0 < half < len(INTERRUPTED)
    time.sleep(1)  # the cluster ends the dead job's tasks
    assert main(command) == 0
    for table in (VIDEOS, CLIPS):
        whole = sorted_rows(curated, table)
        assert sorted_rows(dataset, table) == [row for row in whole if Path(row["uri"]).name in INTERRUPTED]
        assert len(dataset.keys(table)) == dataset.read(table).num_rows
    assert [run["state"] for run in dataset.runs()] == ["running", "done"]
    assert not [path for path in Path(dataset.location).rglob("*") if TEMPORARY in path.name]


def test_a_new_input_is_read_alone_and_every_kept_clip_gets_a_caption_and_an_embedding_once(
    small: Dataset, drawn_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier run kept without captions is captioned now, and is not read again."""
    command = ["curate", *small_inputs(drawn_corpus), "--out", small.location, "--recipe", "demo"]
    before = small.part_files("videos")
    assert main(command) == 0
    assert set(before) < set(small.part_files("videos"))
    captions, points = small.read(CAPTIONS).to_pylist(), small.read(EMBEDDINGS).to_pylist()
    kept = {clip_id for (clip_id,) in connect(small).execute("select clip_id from kept").fetchall()}
    assert {row["clip_id"] for row in captions} == {row["clip_id"] for row in points} == kept
    assert len(captions) == len(points) == len(kept) == 2
    for row in captions:
        assert row["captioner_name"] == BUILTIN_CAPTIONER
        assert row["status"] == "ok", row
        assert row["num_words"] == len(row["detailed"].split()) > 3
        assert -1 <= row["text_video_similarity"] <= 1
    assert [np.linalg.norm(row["embedding"]) for row in points] == pytest.approx([1.0, 1.0], abs=1e-4)
    runs = small.runs()
    assert [run["stages"]["scan"]["rows"] for run in runs] == [2, 1]
    assert [run["stages"]["clip measures"]["rows"] for run in runs] == [1, 1]
    assert [run["stages"].get("caption", {"rows": 0})["rows"] for run in runs] == [0, 2]
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"] == {}
    _recaption(small, kept, capsys)


def _recaption(dataset: Dataset, kept: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Other settings make other captions beside the old ones; the same settings make none."""
    again = ["recaption", dataset.location, "--set", "caption.max_new_tokens=180", "--json"]
    for num_captioned in (len(kept), 0):
        assert main(again) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["captioned"] == num_captioned
        assert "scan" not in summary["stages"]
    rows = dataset.read(CAPTIONS).to_pylist()
    assert len({row["captioner"] for row in rows}) == 2
    assert len(rows) == 2 * len(kept)
