"""Captions judged again from stored scores: by `rejudge`, `curate` and `recaption`, without a model, Ray or a video."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.cli import main
from jobs.steps.curation import Curation
from jobs.steps.records import write_run
from pipeline.caption.fingerprint import fingerprint
from pipeline.ingest.inputs import as_table
from pipeline.measure.registry import stream_fingerprints
from pipeline.release import releases
from pipeline.release.diff import REMOVED, compare
from pipeline.report.page import ReportConfig, report_page
from pipeline.split.fingerprint import split_fingerprint
from pipeline.store.active_recipe import active_recipe
from pipeline.store.dataset import Dataset
from pipeline.store.pending import pending_captions
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import CAPTION_DECISIONS, CAPTIONS, VIDEOS
from schemas.recipe import Recipe, change_recipe, decode_recipe
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
LOOSE = ["--set", "caption_rules.min_words.min=2"]
STRICT = ["--set", "caption_rules.min_words.min=9"]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    rule = {"column": "num_words", "min": 5, "reason": "too_short"}
    return decode_recipe(
        {"caption_rules": {"min_words": rule}, "overlay_text": {"enabled": False}, "embedding": {"model": "none"}}
    )


@pytest.fixture
def dataset(tmp_path: Path, recipe: Recipe, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """Five kept clips of a video that is not there: captions of 3, 5, 7 and 9 words, and one that failed."""
    dataset = Dataset(str(tmp_path / "ds"))
    split = split_fingerprint(recipe.split)
    dataset.write_part(VIDEOS, [video_row("v0", split=split)])
    marks = json.dumps(stream_fingerprints(recipe.measure))
    write_clips(dataset, [clip_row(f"c{i}", "v0", measured=marks, split=split) for i in range(5)])
    captioner = fingerprint(recipe.caption)
    captions = [caption_row(f"c{i}", captioner, num_words=3 + 2 * i) for i in range(4)]
    captions[0] |= {"status": "rejected", "reasons": ["too_short"]}
    none = dict.fromkeys(("short", "detailed", "num_words"))
    captions.append(caption_row("c4", captioner, status="failed", reasons=["frames: gone"], **none))
    write_captions(dataset, captions)
    write_run(dataset, "20260101T000000Z-curate", "curate", recipe, state="done")
    return dataset


def standing(dataset: Dataset) -> dict[str, list[str]]:
    """Reasons against each caption, by clip."""
    rows = connect(dataset).execute("select clip_id, status, reasons from captions").fetchall()
    assert all((status == "ok") == (reasons == []) for _, status, reasons in rows)
    return {clip_id: reasons for clip_id, _, reasons in rows}


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def parts(dataset: Dataset) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in dataset.part_files("")}


def test_other_caption_rules_are_decisions_beside_what_was_written(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    before = parts(dataset)
    for rules, num_changed, against in ((LOOSE, 1, ()), (LOOSE, 0, ()), (STRICT, 3, ("c0", "c1", "c2"))):
        assert main(["rejudge", dataset.location, *rules, "--json"]) == 0
        summary = said(capsys)
        assert (summary["decisions"], summary["caption_decisions"]) == (0, num_changed)
        assert standing(dataset) == {
            f"c{i}": ["frames: gone"] if i == 4 else ["too_short"] * (f"c{i}" in against) for i in range(5)
        }
        assert summary["funnel"]["captions ok"] == summary["funnel"]["trainable"] == 4 - len(against)
    after = parts(dataset)
    assert {path: after[path] for path in before} == before
    rows = dataset.read(CAPTION_DECISIONS).to_pylist()
    assert {row["clip_id"] for row in rows if row["rules_fingerprint"]} == {"c0", "c1", "c2"}


def test_what_if_counts_captions_and_writes_nothing(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path(dataset.location).rglob("*"))
    assert main(["funnel", dataset.location, *STRICT, "--json"]) == 0
    summary = said(capsys)
    assert summary["caption_rules"] == {"min_words": {"rejects": 3, "alone": 3, "stay": 2}}
    assert summary["captions"] == {"rejected": 3, "ok": 1, "failed": 1}
    assert summary["captions_before"] == {"rejected": 1, "ok": 3, "failed": 1}
    assert (summary["trainable_before"], summary["trainable"]) == (3, 1)
    assert main(["funnel", dataset.location, *STRICT]) == 0
    assert "captions: ok 3 -> 1, rejected 1 -> 3, failed 1 -> 1; trainable 3 -> 1" in capsys.readouterr().out
    assert sorted(Path(dataset.location).rglob("*")) == before


def test_curate_and_recaption_judge_by_their_rules_and_ask_no_captioner_again(
    dataset: Dataset, recipe: Recipe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("work was started")

    monkeypatch.setattr("pipeline.ray_graphs.cluster.connect", refuse)
    Curation(dataset, change_recipe(recipe, ["caption_rules.min_words.min=2"]), lambda: None).run(as_table([]))
    assert standing(dataset)["c0"] == []
    assert main(["recaption", dataset.location, *STRICT, "--json"]) == 0
    summary = said(capsys)
    assert (summary["captioned"], summary["judged_otherwise"]) == (0, 3)
    assert summary["captions"] == {"failed": 1, "ok": 1, "rejected": 3}
    assert standing(dataset)["c2"] == ["too_short"]
    assert not pending_captions(dataset, recipe.caption, fingerprint(recipe.caption), Retrying())
    files = {path: path.stat().st_mtime_ns for path in Path(dataset.location).rglob("*")}
    assert main(["recaption", dataset.location, "--json"]) == 0  # the rules of the last run stand
    assert said(capsys)["judged_otherwise"] == 0
    assert {path: path.stat().st_mtime_ns for path in Path(dataset.location).rglob("*")} == files


def test_the_rules_of_the_last_recaptioning_stand_and_nothing_else_of_its_recipe(
    dataset: Dataset, recipe: Recipe
) -> None:
    other = change_recipe(recipe, ["caption_rules.min_words.min=7", "duplicates.keep=longest"])
    write_run(dataset, "20260102T000000Z-recaption", "recaption", other, state="done")
    assert active_recipe(dataset) == replace(recipe, caption_rules=other.caption_rules)


def test_releases_differences_and_the_page_see_what_stands(dataset: Dataset) -> None:
    releases.freeze(dataset, "before", "true")
    assert main(["rejudge", dataset.location, *STRICT]) == 0
    releases.freeze(dataset, "after", "true")
    found = compare(dataset, "before", "after")
    assert found.reason_counts(REMOVED) == {"caption rejected: too_short": 2}
    page = report_page(dataset, ReportConfig(num_clips=0, num_videos=0))
    assert '<td>too_short</td><td class="count">3</td>' in page
    assert "<code>num_words &lt; 9</code>" in page


def test_a_caption_that_was_lost_and_written_anew_is_not_held_to_the_old_decision(
    dataset: Dataset, recipe: Recipe, caption_row: MakeRow
) -> None:
    assert main(["rejudge", dataset.location, *STRICT]) == 0
    written_us = max(dataset.read(CAPTION_DECISIONS)["written_us"].to_pylist())
    rows = [row for row in dataset.read(CAPTIONS).to_pylist() if row["clip_id"] != "c1"]
    for path in dataset.part_files(CAPTIONS.folder):
        Path(path).unlink()
    write_captions(dataset, rows)
    assert [
        row["clip_id"] for row in pending_captions(dataset, recipe.caption, fingerprint(recipe.caption), Retrying())
    ] == ["c1"]
    anew = caption_row("c1", fingerprint(recipe.caption), num_words=20, written_us=written_us + 1, status="pending")
    write_captions(dataset, [anew])
    status = "select status, reasons from captions where clip_id = 'c1'"
    assert connect(dataset).execute(status).fetchall() == [("pending", [])]
    assert main(["rejudge", dataset.location]) == 0
    assert connect(dataset).execute(status).fetchall() == [("ok", [])]


def test_duckdb_alone_gives_what_stands(dataset: Dataset, tmp_path: Path) -> None:
    """In a copy of the data set's folder, started there, with nothing of this project."""
    assert main(["rejudge", dataset.location, *STRICT]) == 0
    copy = tmp_path / "copy"
    shutil.copytree(dataset.location, copy)
    program = (
        "import duckdb; c = duckdb.connect(); c.execute(open('views.sql').read()); print(c.execute({!r}).fetchall())"
    )
    query = "select clip_id, status from captions order by 1"
    printed = subprocess.run(
        [sys.executable, "-c", program.format(query)], cwd=copy, capture_output=True, text=True, check=True
    ).stdout
    mine = connect(dataset).execute(query).fetchall()
    assert printed.strip() == repr(mine)
    assert dict(mine) == {"c0": "rejected", "c1": "rejected", "c2": "rejected", "c3": "ok", "c4": "failed"}
    written = duckdb.execute(f"describe from '{copy}/captions/*.parquet'").fetchall()
    assert not {name for name, *_ in written} & {"status", "reasons"}  # nothing that another decision makes untrue
