"""What a change costs: of a captioned data set some videos are replaced, then some captions lost.

All other videos are overwritten with zeros of the same length and date beforehand, so that opening one would show.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CAPTIONS, CLIPS, VIDEOS
from schemas.columns import Table
from tests.conftest import write_captions
from tests.jobs.conftest import NUM_CAPTIONED, Captioned, DrawVideo


def blank(paths: Sequence[Path]) -> None:
    """Zeros in place of files, which look the same from outside."""
    for path in paths:
        found = path.stat()
        path.write_bytes(b"\0" * found.st_size)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def parts(dataset: Dataset) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in dataset.part_files("") if "/manifest/" not in path}


def added(before: dict[str, bytes], dataset: Dataset, *tables: Table) -> dict[str, list[dict[str, Any]]]:
    """Rows of the part files that came; those that were there are as they were."""
    after = parts(dataset)
    assert {path: after.get(path) for path in before} == before
    fresh = [path for path in after if path not in before]
    return {
        table.folder: dataset.scanner(table, [path for path in fresh if f"/{table.folder}/" in path])
        .to_table()
        .to_pylist()
        for table in tables
    }


def standing(dataset: Dataset) -> dict[str, str]:
    """The file that each trainable clip is in, by clip."""
    rows = connect(dataset).execute("select clip_id, uri from trainable").fetchall()
    assert len({clip_id for clip_id, _ in rows}) == len(rows)
    return dict(rows)


def test_what_has_changed_is_captioned_and_nothing_else(
    captioned: Captioned, draw_video: DrawVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, changed = captioned.dataset, captioned.videos[2::5]
    first = standing(dataset)
    assert sorted(first.values()) == [str(path) for path in captioned.videos]
    before = parts(dataset)
    blank([path for path in captioned.videos if path not in changed])
    for seed, path in enumerate(changed):
        draw_video(path, 1000 + seed)

    assert main([*captioned.curate, "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    new = added(before, dataset, VIDEOS, CLIPS, CAPTIONS)
    assert {row["uri"] for row in new["videos"]} == {row["uri"] for row in new["clips"]} == {str(p) for p in changed}
    clip_ids = {row["clip_id"] for row in new["clips"]}
    assert {row["clip_id"] for row in new["captions"]} == clip_ids
    assert {folder: len(rows) for folder, rows in new.items()} == dict.fromkeys(new, len(changed))
    assert {name: stages[name]["rows"] for name in ("scan", "caption")} == dict.fromkeys(
        ("scan", "caption"), len(changed)
    )
    second = standing(dataset)
    assert sorted(second.values()) == sorted(first.values())
    assert {clip_id for clip_id in second if clip_id not in first} == clip_ids

    before = _lose_captions(dataset, clip_ids)
    assert main(["recaption", dataset.location, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["captioned"], summary["stages"]["caption"]["rows"]) == (len(changed), len(changed))
    again = added(before, dataset, CAPTIONS)["captions"]
    assert {row["clip_id"] for row in again} == clip_ids
    by_clip = {row["clip_id"]: row for row in new["captions"]}
    assert all(row["detailed"] == by_clip[row["clip_id"]]["detailed"] for row in again)
    assert standing(dataset) == second


def test_captions_that_earlier_code_has_checked_are_checked_again_and_judged_by_that(
    captioned: Captioned, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = captioned.dataset
    checked = {row["clip_id"]: row for row in dataset.read(CAPTIONS).to_pylist()}
    facts = ("refusal", "truncated", "prompt_leak", "camera_claims", "was_cut", "checks_version")
    assert {row["was_cut"] for row in checked.values()} == {False}
    rest = (*facts, "run_id", "written_us")
    earlier = {"refusal": 1.0, "prompt_leak": 9.0, "camera_claims": None, "checks_version": None}
    write_captions(
        dataset,
        [
            row | earlier | {"written_us": None, "status": "rejected", "reasons": ["caption_refusal"]}
            for row in checked.values()
        ],
    )
    assert standing(dataset) == {}
    before = parts(dataset)
    assert main(["recaption", dataset.location, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["captioned"], summary["captions"]) == (0, {"ok": len(checked)})
    assert summary["stages"]["checks of captions"]["rows"] == len(checked)
    again = {row["clip_id"]: row for row in added(before, dataset, CAPTIONS)["captions"]}
    for name in facts:
        assert {clip: row[name] for clip, row in again.items()} == {clip: row[name] for clip, row in checked.items()}
    for clip, row in checked.items():
        assert {name: again[clip][name] for name in row if name not in rest} == {
            name: value for name, value in row.items() if name not in rest
        }
    before = parts(dataset)
    assert main(["recaption", dataset.location, "--json"]) == 0
    assert parts(dataset) == before


def _lose_captions(dataset: Dataset, clip_ids: set[str]) -> dict[str, bytes]:
    """Take the captions of some clips out of the table; returns the part files that are left."""
    rows = dataset.read(CAPTIONS).to_pylist()
    for path in dataset.part_files(CAPTIONS.folder):
        Path(path).unlink()
    write_captions(dataset, [row for row in rows if row["clip_id"] not in clip_ids])
    return parts(dataset)


def test_other_settings_make_other_captions_beside_the_old_ones_once(
    captioned: Captioned, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = captioned.dataset
    again = ["recaption", dataset.location, "--set", "caption.max_new_tokens=180", "--json"]
    for num_captioned in (NUM_CAPTIONED, 0):
        capsys.readouterr()
        assert main(again) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["captioned"] == num_captioned
        assert "scan" not in summary["stages"]
    rows = dataset.read(CAPTIONS).to_pylist()
    assert sorted(Counter(row["captioner"] for row in rows).values()) == [NUM_CAPTIONED] * 2
    assert sorted(Counter(row["clip_id"] for row in rows).values()) == [2] * NUM_CAPTIONED
