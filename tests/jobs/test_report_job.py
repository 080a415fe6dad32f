"""`reelmill report`: where the page goes, and that wrong usage leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.dataset import Dataset
from pipeline.stages.probe import failed
from schemas import VIDEOS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    identity = {"uri": "/a.mp4", "video_id": None, "file_bytes": 0, "modified_us": 0, "source": "{}"}
    row = identity | {"duplicate_of": None} | failed("empty_file", "0 bytes")
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "-1"], "--clips -1"),
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
