"""`reelmill report`: where the page goes, and that wrong usage leaves nothing behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from jobs.steps.records import write_run
from pipeline.decode.probe import failed
from pipeline.store.dataset import Dataset
from schemas import VIDEOS
from schemas.recipe import Recipe
from schemas.rules import Rule
from tests.conftest import write_clips

MakeRow = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    identity = {"uri": "/a.mp4", "video_id": None, "file_bytes": 0, "modified_us": 0, "source": "{}"}
    row = identity | {"duplicate_of": None, "transient": False, "num_failures": 1} | failed("empty_file", "0 bytes")
    Dataset(str(tmp_path / "ds")).write_part(VIDEOS, [row])
    return tmp_path / "ds"


def test_the_page_goes_into_the_data_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}/report.html\n"
    assert "empty_file" in (folder / "report.html").read_text()


def test_the_page_goes_where_asked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "page.html"
    assert main(["report", str(folder), "-o", str(target), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == {"report": str(target), "bytes": target.stat().st_size, "clips_shown": 0}
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]


def test_rules_of_the_last_judgement_are_on_the_page(
    tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row("c0", "v0", width=64), clip_row("c1", "v0", start_us=2_000_000)])
    for i, (job, least) in enumerate([("curate", 1), ("rejudge", 100)]):
        recipe = Recipe(rules={"min_width": Rule("width", "too_narrow", min=least)})
        write_run(dataset, f"2026010{i}T000000Z-{job}-x", job, recipe, state="done")
    assert main(["report", dataset.location, "--near", "0", "--clips", "0", "--videos", "0"]) == 0
    page = (tmp_path / "ds" / "report.html").read_text()
    assert "<code>width &gt;= 100 px</code>" in page
    counts = re.search(r"min_width.*?too_narrow</td>(.*?)<td class=\"quiet source", page, re.DOTALL)
    assert counts
    assert re.findall(r">(\d+)<", counts[1]) == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "-1"], "--clips -1"),
        (["--near", "-2"], "--near -2"),
        (["--train", "nowhere"], "--train nowhere"),
        (["--sample", "nowhere.mp4"], "--sample nowhere.mp4"),
        (["-o", "."], "--out ."),
        (["-o", "/proc/none/page.html"], "cannot be written"),
    ],
)
def test_wrong_usage_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = sorted(folder.rglob("*"))
    assert main(["report", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_what_is_no_data_set_has_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
