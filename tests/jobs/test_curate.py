"""The curate job on two logical CPUs, killed once and continued: tables that add up, and nothing done twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet
import pytest

from jobs.cli import main
from model.builtin import BUILTIN_CAPTIONER
from pipeline.scan.scan import ScannedVideo
from pipeline.store.dataset import TEMPORARY, Dataset
from pipeline.store.views import connect
from pipeline.synthetic.truth import Truth
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, VIDEOS
from schemas.columns import Table
from schemas.tables.measures import STREAM_MEASURES
from tests.jobs.conftest import DemoRun

AGED = ("05_blink.mp4", "12_single.webm")
OLDER, UNTOUCHED = "a fingerprint of older code", 0.777


def sorted_rows(table: Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As they are read from the table, in the order of their keys, without their stamps."""
    stamps = {"run_id": "", "written_us": 0}
    encoded = table.encode([row | stamps for row in rows])
    return sorted(encoded.to_pylist(), key=lambda row: repr(table.key_of(row)))


@pytest.fixture
def curated(demo_run: DemoRun) -> Dataset:
    return demo_run.dataset


def test_every_input_is_a_row_and_the_tables_add_up(curated: Dataset, drawn_corpus: Path) -> None:
    truth = Truth.load(drawn_corpus / "truth.json")
    rows = {Path(row["uri"]).name: row for row in curated.read(VIDEOS).to_pylist()}
    assert {name: (row["status"], row["reason"]) for name, row in rows.items()} == {
        video.file: (video.status, video.reason) for video in truth.videos
    }
    manifest = f"{curated.location}/manifest/clips.parquet"
    statuses = dict(duckdb.sql(f"select status, count(*) from '{manifest}' group by 1").fetchall())
    assert set(statuses) == {"kept", "rejected"}
    assert statuses == dict(connect(curated).execute("select status, count(*) from clips group by 1").fetchall())
    assert statuses == Counter(pyarrow.parquet.read_table(manifest)["status"].to_pylist())
    killed, run = curated.runs()[:2]
    assert killed["state"] == "running"
    funnel = run["funnel"]
    assert (run["state"], funnel["videos in"]) == ("done", len(truth.videos))
    assert funnel["videos in"] == funnel["videos probed"] + funnel["videos failed"]
    assert funnel["clips"] == funnel["clips kept"] + funnel["clips rejected"] + funnel["clips failed"]
    assert run["recipe"]["name"] == "demo"


def test_a_killed_run_is_continued_to_what_one_pass_over_each_video_gives(
    demo_run: DemoRun, scanned_corpus: dict[str, ScannedVideo]
) -> None:
    """The second job scans what the first had not written; each row is there once, as the pure scan makes it."""
    dataset, before = demo_run.dataset, demo_run.num_before_kill
    assert 0 < before < len(scanned_corpus)
    original, copy = (scanned_corpus[name].video for name in ("00_cuts.mp4", "copy_exact.mp4"))
    of_copy = {name: copy[name] for name in ("uri", "file_bytes", "modified_us", "source")}
    copied = original | of_copy | {"duplicate_of": original["uri"]}
    scans = [scanned for name, scanned in scanned_corpus.items() if name != "copy_exact.mp4"]
    whole = {
        VIDEOS: [copied, *(scanned.video for scanned in scans)],
        CLIPS: [clip for scanned in scans for clip in scanned.clips],
    }
    for table, expected in whole.items():
        found = dataset.read(table)
        assert found.num_rows == len(dataset.keys(table)) > 0
        assert sorted_rows(table, found.to_pylist()) == sorted_rows(table, expected)
    scan = dataset.runs()[1]["stages"]["scan"]
    assert scan["rows"] in (len(scans) - before, len(scans) - before + 1)  # the copy's row may have been before
    assert not [path for path in Path(dataset.location).rglob("*") if TEMPORARY in path.name]


def test_the_same_again_does_nothing(
    demo_run: DemoRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("work was started")

    location = Path(demo_run.dataset.location)
    before = {path: path.stat().st_mtime_ns for path in location.rglob("*")}
    monkeypatch.setattr("pipeline.ray_graphs.cluster.connect", refuse)
    assert main([*demo_run.curate, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["inputs_done_before"] == summary["inputs"] == summary["funnel"]["videos in"]
    assert summary["stages"] == {}
    assert {path: path.stat().st_mtime_ns for path in location.rglob("*")} == before


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


def test_every_kept_clip_has_a_caption_and_an_embedding_once(curated: Dataset) -> None:
    captions = connect(curated).sql("from captions").to_arrow_table().to_pylist()
    points = curated.read(EMBEDDINGS).to_pylist()
    reasons = dict(connect(curated).execute("select clip_id, reasons from clips").fetchall())
    kept = {clip_id for clip_id, found in reasons.items() if not found}
    assert sorted(row["clip_id"] for row in captions) == sorted(kept)
    embedded = {row["clip_id"] for row in points}
    assert len(points) == len(embedded)
    found_later = [set(reasons[clip_id]) for clip_id in embedded - kept]
    assert embedded > kept
    assert found_later.count({"overlay_text"}) == len(found_later)  # which is found in the same pass
    for row in captions:
        assert row["captioner_name"] == BUILTIN_CAPTIONER
        assert row["status"] == "ok", row
        assert row["num_words"] == len(row["detailed"].split()) > 3
        assert -1 <= row["text_video_similarity"] <= 1
    assert [np.linalg.norm(row["embedding"]) for row in points] == pytest.approx([1.0] * len(points), abs=1e-4)


def test_a_measure_whose_code_has_changed_is_taken_again_without_touching_the_others(
    demo_run: DemoRun, tmp_path: Path
) -> None:
    """Scores of two videos' clips are made wrong, and some marked as older code's: only those are taken again."""
    dataset = Dataset(str(shutil.copytree(demo_run.dataset.location, tmp_path / "ds")))
    rows = dataset.read(CLIPS).to_pylist()
    truth = {row["clip_id"]: row["motion_px_s"] for row in rows if Path(row["uri"]).name in AGED}
    for path in dataset.part_files(CLIPS.folder):
        Path(path).unlink()
    dataset.write_part(CLIPS, [as_older_code_left_it(row) if row["clip_id"] in truth else row for row in rows])
    before = parts(dataset)
    assert main(["curate", demo_run.curate[1], "--out", dataset.location, "--recipe", "demo"]) == 0
    assert {path: parts(dataset).get(path) for path in before} == before
    assert {name for name in STREAM_MEASURES if dataset.part_files(f"measures/{name}")} == {"motion", "camera"}
    assert set(dataset.read(CAPTIONS)["clip_id"].to_pylist()) == set(
        demo_run.dataset.read(CAPTIONS)["clip_id"].to_pylist()
    )
    found = connect(dataset).execute("select clip_id, motion_px_s, brightness from clips").fetchall()
    aged = {clip_id: (motion, brightness) for clip_id, motion, brightness in found if clip_id in truth}
    assert aged == {clip_id: (motion, pytest.approx(UNTOUCHED)) for clip_id, motion in truth.items()}
    assert len(truth) >= 2


def as_older_code_left_it(row: dict[str, Any]) -> dict[str, Any]:
    measured = json.loads(row["measured"]) | {"motion": OLDER, "camera": OLDER}
    return row | {"measured": json.dumps(measured), "motion_px_s": 99.0, "brightness": UNTOUCHED}


def parts(dataset: Dataset) -> dict[str, bytes]:
    """The part files, and not the manifest, which each run writes anew."""
    return {path: Path(path).read_bytes() for path in dataset.part_files("") if "/manifest/" not in path}
