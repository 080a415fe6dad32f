"""Duplicates of a data set: each clip is searched for once, and groups are as if all clips had come together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.dedup import candidates
from pipeline.dedup import dataset as searching
from pipeline.dedup.dataset import group_duplicates
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import DUPLICATE_MATCHES, VIDEOS
from schemas.recipe.duplicates import DuplicatesConfig
from tests.conftest import MakeRow, write_clips

TIMES_US = [0, 500_000, 1_000_000, 1_500_000]
EVIDENCE = "clip_id, kind, group_id, group_size, match_id, round(similarity, 6), mirrored, round(rate, 6)"
NUM_SCENES, NUM_COPIES = 12, 3


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


def hashed(scene: int, copy: int) -> dict[str, Any]:
    """The fingerprint of a copy of a scene: noisy, and every third one mirrored. Two have equal digests, but of the
    first scene."""
    contrasts = np.random.default_rng(scene).normal(0, 30, (len(TIMES_US), 8, 8))
    contrasts += np.random.default_rng([scene, copy]).integers(-2, 3, contrasts.shape) * (copy > 0)
    frames = (contrasts[:, :, ::-1] if copy % 3 == 2 else contrasts).clip(-127, 127).astype(np.int8)
    return {
        "content_digest": f"{scene} {copy % 2 if scene else copy}",
        "video_hash": np.packbits(frames.reshape(-1, 64) > 0, axis=1).tobytes(),
        "video_hash_contrasts": frames.tobytes(),
        "video_hash_times_us": TIMES_US,
        "measured": '{"fingerprint": "f1"}',
    }


def add(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow, copies: Iterable[tuple[int, int]]) -> None:
    for scene, copy in copies:
        name = f"{copy}{scene:02}"
        dataset.write_part(VIDEOS, [video_row(f"v{name}", uri=f"/videos/{name}.mp4")])
        write_clips(dataset, [clip_row(f"c{name}", f"v{name}", uri=f"/videos/{name}.mp4", **hashed(scene, copy))])


def groups(dataset: Dataset) -> list[tuple]:
    return connect(dataset).execute(f"select {EVIDENCE} from duplicates order by all").fetchall()


ALL = [(scene, copy) for scene in range(NUM_SCENES) for copy in range(NUM_COPIES)]


@pytest.mark.parametrize("at_a_time", [4, 100_000])
def test_clips_that_come_one_after_the_other_make_the_groups_of_all_together(
    dataset: Dataset,
    tmp_path: Path,
    video_row: MakeRow,
    clip_row: MakeRow,
    at_a_time: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "PAIRS_AT_A_TIME", at_a_time)
    monkeypatch.setattr(searching, "ROWS_AT_A_TIME", at_a_time)
    together = Dataset(str(tmp_path / "together"))
    add(together, video_row, clip_row, ALL)
    group_duplicates(together, DuplicatesConfig())
    order = np.random.default_rng(0).permutation(len(ALL))
    for part in np.array_split(order, 5):
        add(dataset, video_row, clip_row, (ALL[i] for i in part))
        group_duplicates(dataset, DuplicatesConfig())
    found = groups(together)
    assert groups(dataset) == found
    assert {row[3] for row in found if row[1] == "near"} == {NUM_COPIES}
    assert sum(row[1] == "near" for row in found) == len(ALL)


def test_a_clip_is_searched_for_once(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []

    class Recorded(candidates.CandidateSearch):
        def __init__(self, num_new: int) -> None:
            searched.append(num_new)
            super().__init__(num_new)

    monkeypatch.setattr(searching, "CandidateSearch", Recorded)
    add(dataset, video_row, clip_row, ALL[:5])
    write_clips(dataset, [clip_row("bare", "v000", measured="{}", uri="/videos/000.mp4")])  # nothing is hashed of it
    group_duplicates(dataset, DuplicatesConfig())
    add(dataset, video_row, clip_row, ALL[6:8])
    for _ in range(2):
        group_duplicates(dataset, DuplicatesConfig())
    assert searched == [6, 2]
    parts = dataset.part_files("")
    group_duplicates(dataset, DuplicatesConfig())
    assert dataset.part_files("") == parts


def test_clips_are_searched_for_again_by_other_settings_or_hashes(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    add(dataset, video_row, clip_row, ALL[:3])
    group_duplicates(dataset, DuplicatesConfig())
    first = groups(dataset)
    assert [row[0] for row in first if row[1] == "near"] == ["c000", "c100", "c200"]
    for _ in range(2):
        group_duplicates(dataset, DuplicatesConfig(near_distance=0.001))
        assert groups(dataset) == []
    group_duplicates(dataset, DuplicatesConfig())
    assert groups(dataset) == first
    anew = hashed(0, 0) | {"measured": '{"fingerprint": "f2"}'}
    write_clips(dataset, [clip_row("c000", "v000", uri="/videos/000.mp4", **anew)])
    group_duplicates(dataset, DuplicatesConfig())
    newest = dataset.read(DUPLICATE_MATCHES).to_pylist()
    assert {row["hashed"] for row in newest if row["clip_id"] == "c000"} == {"f1", "f2"}


def test_a_clip_that_stands_no_more_is_in_no_group(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow) -> None:
    add(dataset, video_row, clip_row, ALL[:2])
    group_duplicates(dataset, DuplicatesConfig())
    assert len(groups(dataset)) == 2
    dataset.write_part(VIDEOS, [video_row("other bytes", uri="/videos/100.mp4")])
    group_duplicates(dataset, DuplicatesConfig())
    assert groups(dataset) == []


def test_hashes_of_a_clip_without_frames_are_nothing(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow) -> None:
    add(dataset, video_row, clip_row, ALL[:2])
    write_clips(dataset, [clip_row("bare", "v000", measured='{"fingerprint": "f1"}', uri="/videos/000.mp4")])
    group_duplicates(dataset, DuplicatesConfig())
    assert {row[0] for row in groups(dataset)} == {"c000", "c100"}
