"""What a change costs: of a captioned data set one video in ten is replaced, one caption in ten lost.

All other videos are overwritten with zeros of the same length and date beforehand, so that opening one would show.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, VIDEOS
from schemas.columns import Table

NUM_VIDEOS, NUM_CHANGED = 30, 3
FPS, NUM_FRAMES = 8, 16
RECIPE = """
name = "drawn"
[overlay_text]
enabled = false
[caption_rules.min_words]
column = "num_words"
min = 3
reason = "caption_too_short"
"""


def draw(path: Path, seed: int) -> None:
    times_s = [Fraction(i, FPS) for i in range(NUM_FRAMES + 1)]
    encode(path, render(draw_scene(seed), 160, 120, NUM_FRAMES), times_s, Fraction(FPS), Encoding())


def blank(paths: Sequence[Path]) -> None:
    """Zeros in place of files, which look the same from outside."""
    for path in paths:
        found = path.stat()
        path.write_bytes(b"\0" * found.st_size)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def parts(dataset: Dataset) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in dataset.part_files("")}


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
    tmp_path: Path, two_cpus: str, capsys: pytest.CaptureFixture[str], tell: Callable[[str], None]
) -> None:
    videos = [tmp_path / "videos" / f"{i:02}.mp4" for i in range(NUM_VIDEOS)]
    videos[0].parent.mkdir()
    (tmp_path / "recipe.toml").write_text(RECIPE)
    for seed, path in enumerate(videos):
        draw(path, seed)
    dataset = Dataset(str(tmp_path / "ds"))
    curate = ["curate", str(videos[0].parent), "--out", dataset.location]
    curate += ["--recipe", str(tmp_path / "recipe.toml"), "--json"]
    assert main(curate) == 0
    first = standing(dataset)
    assert sorted(first.values()) == [str(path) for path in videos]
    before, changed = parts(dataset), videos[4::10]
    assert len(changed) == NUM_CHANGED
    blank([path for path in videos if path not in changed])
    for seed, path in enumerate(changed):
        draw(path, 1000 + seed)

    capsys.readouterr()
    assert main(curate) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    new = added(before, dataset, VIDEOS, CLIPS, EMBEDDINGS, CAPTIONS)
    assert {row["uri"] for row in new["videos"]} == {row["uri"] for row in new["clips"]} == {str(p) for p in changed}
    clip_ids = {row["clip_id"] for row in new["clips"]}
    assert {row["clip_id"] for row in new["captions"]} == {row["clip_id"] for row in new["embeddings"]} == clip_ids
    assert {folder: len(rows) for folder, rows in new.items()} == dict.fromkeys(new, NUM_CHANGED)
    assert {name: stages[name]["rows"] for name in ("scan", "look", "caption")} == dict.fromkeys(
        ("scan", "look", "caption"), NUM_CHANGED
    )
    second = standing(dataset)
    assert sorted(second.values()) == sorted(first.values())
    assert {clip_id for clip_id in second if clip_id not in first} == clip_ids
    tell(
        f"{NUM_CHANGED} of {NUM_VIDEOS} videos replaced: {len(new['videos'])} videos scanned, "
        f"{len(new['captions'])} clips captioned, {len(second) - len(new['captions'])} captions kept, "
        f"{len(before)} part files unchanged, {len(parts(dataset)) - len(before)} added"
    )

    before = _lose_captions(dataset, clip_ids)
    assert main(["recaption", dataset.location, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["captioned"], summary["stages"]["caption"]["rows"]) == (NUM_CHANGED, NUM_CHANGED)
    again = added(before, dataset, CAPTIONS)["captions"]
    assert {row["clip_id"] for row in again} == clip_ids
    by_clip = {row["clip_id"]: row for row in new["captions"]}
    assert all(row["detailed"] == by_clip[row["clip_id"]]["detailed"] for row in again)
    assert standing(dataset) == second
    tell(
        f"{NUM_CHANGED} of {NUM_VIDEOS} captions lost: {len(again)} clips captioned again, "
        f"{len(before)} part files unchanged, {len(parts(dataset)) - len(before)} added"
    )


def _lose_captions(dataset: Dataset, clip_ids: set[str]) -> dict[str, bytes]:
    """Take the captions of some clips out of the table; returns the part files that are left."""
    rows = dataset.read(CAPTIONS).to_pylist()
    for path in dataset.part_files(CAPTIONS.folder):
        Path(path).unlink()
    dataset.write_part(CAPTIONS, [row for row in rows if row["clip_id"] not in clip_ids])
    return parts(dataset)


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints for whoever runs the tests, whether or not they pass."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")

    return say
