"""`reelmill diff`: what it prints, and all of it as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from pipeline.store.dataset import Dataset
from schemas import DECISIONS, VIDEOS
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
FAR_FUTURE_US = 2**60


@pytest.fixture(scope="module")
def location(
    tmp_path_factory: pytest.TempPathFactory, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow
) -> str:
    """Release `a` of five clips; `b` after three were rejected as still, one got another caption, and one added."""
    folder = tmp_path_factory.mktemp("diff") / "ds"
    dataset = Dataset(str(folder))
    dataset.write_part(VIDEOS, [video_row("v0")])
    clips = [clip_row(f"c{i}", "v0", start_us=i * 1_000_000, end_us=(i + 1) * 1_000_000) for i in range(5)]
    write_clips(dataset, [*clips, clip_row("c5", "v0", start_us=5_000_000, status="rejected", reasons=["[dark]"])])
    write_captions(dataset, [caption_row(f"c{i}") for i in range(6)])
    assert main(["release", str(folder), "a"]) == 0
    decision = {"rules_fingerprint": "g", "written_us": 1, "status": "rejected", "reasons": ["still"]}
    rejected = [decision | {"clip_id": f"c{i}"} for i in range(3)]
    dataset.write_part(DECISIONS, [*rejected, decision | {"clip_id": "c5", "status": "kept", "reasons": []}])
    write_captions(dataset, [caption_row("c4", "cap1", short="[b]x[/b] " * 20)])
    where = "captioner = if(clip_id = 'c4', 'cap1', 'cap0')"
    assert main(["release", str(folder), "b", "--where", where]) == 0
    return str(folder)


def test_counts_reasons_and_clips_are_printed(location: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", location, "a", "b", "--limit", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("a (5 clips) -> b (3 clips): 1 added, 3 removed, 1 changed, 1 the same\n")
    lines = [" ".join(line.replace("│", " ").split()) for line in printed.splitlines()]
    assert "removed rejected: still 3" in lines
    assert "changed captioner 1" in lines
    assert "c0 v0.mp4 0.00 to 1.00 rejected: still" in lines
    assert "c1 v0.mp4 1.00 to 2.00 rejected: still" in lines
    assert not any(line.startswith("c2 ") for line in lines)
    assert "1 more removed; --limit or --json shows them" in lines
    assert "captioner: cap0 -> cap1" in printed
    assert "short: short of c4 -> [b]x[/b]" in printed


def test_json_holds_everything(location: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", location, "a", "b", "--limit", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["a"]["name"], found["b"]["name"]) == ("a", "b")
    assert [found[kind] for kind in ("added", "removed", "changed", "same")] == [1, 3, 1, 1]
    assert found["reasons"]["removed"] == {"rejected: still": 3}
    assert [clip["clip_id"] for clip in found["clips"]] == ["c5", "c0", "c1", "c2", "c4"]
    assert found["clips"][-1]["changes"]["captioner"] == {"old": "cap0", "new": "cap1"}
    assert found["clips"][1] == {
        "clip_id": "c0",
        "uri": "/videos/v0.mp4",
        "start_us": 0,
        "end_us": 1_000_000,
        "kind": "removed",
        "reasons": ["rejected: still"],
        "changes": {},
    }


def test_a_page_is_written_where_it_is_wanted(
    location: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "pages" / "diff.html"
    assert main(["diff", location, "a", "b", "-o", str(page), "--limit", "0"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    assert "Clips with another caption in b" in page.read_text()
    assert main(["diff", location, "a", "b", "-o", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == str(page)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "nosuch"], "release nosuch: not in"),
        (["a", "b", "--limit", "-1"], "--limit -1"),
        (["a"], "B"),
        (["a", "b", "-o", "/"], "--out /"),
    ],
)
def test_wrong_usage_is_one_line(
    location: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        status = main(["diff", location, *arguments])
    except SystemExit as stopped:
        status = stopped.code
    error = capsys.readouterr().err
    assert (status, error.count("\n")) == (2, 1)
    assert message in error
