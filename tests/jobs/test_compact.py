"""`reelmill compact`: what it prints, that releases are explained as before, and that it waits for no other writer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from pipeline.release import releases
from pipeline.release.as_of import when_frozen
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CLIPS, DECISIONS, VIDEOS
from tests.conftest import apart, write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
VIEWS = ("clips", "captions", "trainable", "funnel")


@pytest.fixture
def dataset(place: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """Four clips in `ds`, each written in a run of its own; two releases. After the first, one clip is rejected and
    another captioned anew; after the second that one is rejected too, and all captions are written again, twice."""
    dataset = Dataset(str(place / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    for number in range(4):
        run = replace(dataset, run_id=str(number))
        write_clips(run, [clip_row(f"c{number}", "v0")])
        write_captions(run, [caption_row(f"c{number}")])
    releases.freeze(dataset, "first", "true")
    judge(dataset, clip_row("c0", "v0", status="rejected", reasons=["still"]))
    write_captions(replace(dataset, run_id="4"), [caption_row("c1", detailed="other words")])
    releases.freeze(dataset, "second", "true")
    judge(dataset, clip_row("c1", "v0", status="rejected", reasons=["dark"]))
    for run_id in ("5", "6"):
        write_captions(replace(dataset, run_id=run_id), [caption_row(f"c{number}") for number in range(4)])
    return dataset


def judge(dataset: Dataset, clip: dict[str, Any]) -> None:
    """Add the decision that a row says, written now."""
    _, (decision,) = apart([clip])
    dataset.write_part(DECISIONS, [decision | {"run_id": None, "written_us": None, "rules_fingerprint": "later"}])


def compacted(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["compact", "ds", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def rows(dataset: Dataset) -> list[list[tuple]]:
    """Of views, now and as they were at each release."""
    pasts = [when_frozen(dataset, releases.read(dataset, name)) for name in releases.names(dataset)]
    connections = [connect(dataset), *(past.connection for past in pasts if past)]
    assert len(connections) == 3
    return [
        sorted(connection.execute(f"from {view}").fetchall(), key=str) for connection in connections for view in VIEWS
    ]


def test_views_and_what_a_release_differs_in_are_as_before(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "ds", "first", "second", "--json"]) == 0
    before, differences = rows(dataset), capsys.readouterr().out
    assert "rejected: still" in differences
    summary = compacted(capsys)
    tables = {table["table"]: (table["before"], table["after"]) for table in summary["tables"]}
    assert tables.keys() == {"clips", "captions", "decisions", "caption_decisions"}
    assert {name: (old["num_rows"], new["num_rows"]) for name, (old, new) in tables.items()} == {
        "clips": (4, 4),
        "captions": (13, 9),
        "caption_decisions": (13, 9),
        "decisions": (6, 6),
    }
    assert [len(dataset.part_files(name)) for name in ("videos", *tables)] == [1] * 5
    assert rows(dataset) == before
    assert main(["diff", "ds", "first", "second", "--json"]) == 0
    assert capsys.readouterr().out == differences
    assert compacted(capsys)["tables"] == []


def test_without_releases_only_what_is_newest_now_is_kept(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    for name in releases.names(dataset):
        dataset.delete(f"releases/{name}.parquet")
    tables = {table["table"]: table["after"]["num_rows"] for table in compacted(capsys)["tables"]}
    assert tables == dict.fromkeys(("clips", "captions", "caption_decisions", "decisions"), 4)


def test_a_table_is_printed_and_a_dry_run_writes_nothing(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path(dataset.location).rglob("*"))
    assert main(["compact", "ds", "--dry-run"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "captions" in line)
    assert line.split("│")[2].split() == ["7", "->", "1"]
    assert line.split("│")[4].split() == ["13", "->", "9"]
    assert sorted(Path(dataset.location).rglob("*")) == before
    assert compacted(capsys, "--dry-run")["dry_run"]
    assert sorted(Path(dataset.location).rglob("*")) == before
    capsys.readouterr()
    assert main(["compact", "ds"]) == 0
    assert [cell.strip() for cell in line.split("│")[1:3]] in [
        [cell.strip() for cell in printed.split("│")[1:3]] for printed in capsys.readouterr().out.splitlines()
    ]
    assert main(["compact", "ds"]) == 0
    assert capsys.readouterr().out == "every table is in few large files already\n"


def test_it_is_refused_while_another_job_writes(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    with dataset.writing("curate"):
        assert main(["compact", "ds"]) == 2
        assert "is being written by curate" in capsys.readouterr().err
        assert main(["compact", "ds", "--dry-run"]) == 0
    assert len(dataset.part_files(CLIPS.folder)) == 4
