"""Duplicates of a data set: each clip is searched for once, and groups are as if all clips had come together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.dedup import candidates, near_search, semantic, semantic_search
from pipeline.dedup.dataset import group_duplicates
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import DUPLICATE_MATCHES, EMBEDDINGS, MEASURES, VIDEOS
from schemas.recipe.duplicates import DuplicatesConfig
from tests.conftest import MakeRow, write_clips

TIMES_US = [0, 500_000, 1_000_000, 1_500_000]
EVIDENCE = "clip_id, kind, group_id, group_size, match_id, round(similarity, 5), mirrored, round(rate, 6)"
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
    monkeypatch.setattr(near_search, "ROWS_AT_A_TIME", at_a_time)
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

    monkeypatch.setattr(near_search, "CandidateSearch", Recorded)
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
    assert {row["searched_by"] for row in newest if row["clip_id"] == "c000"} == {"f1", "f2"}


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


BY_MEANING = DuplicatesConfig(kinds=("semantic",), semantic_cosine=0.9)


def embed(dataset: Dataset, numbers: Iterable[int], encoder: str = "e", turn: float = 0.0) -> None:
    """Embeddings of scenes, three clips each, that are close within a scene unless they are turned."""
    rows = []
    for number in numbers:
        vector = np.random.default_rng(number // NUM_COPIES).normal(0, 1, 64)
        vector += np.random.default_rng([7, number]).normal(0, 0.05 + turn, 64)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        rows.append({"clip_id": f"c{number:02}", "encoder": encoder, "embedding": unit.tolist()})
    dataset.write_part(EMBEDDINGS, rows)


def add_embedded(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow, numbers: Iterable[int]) -> None:
    for number in (numbers := list(numbers)):
        dataset.write_part(VIDEOS, [video_row(f"v{number}", uri=f"/videos/{number}.mp4")])
        write_clips(dataset, [clip_row(f"c{number:02}", f"v{number}", uri=f"/videos/{number}.mp4")])
    embed(dataset, numbers)
    measured(dataset, numbers)


def measured(dataset: Dataset, numbers: Iterable[int], encoder: str = "e") -> None:
    """Which model embedded clips last."""
    row = dict.fromkeys(MEASURES["embedding"].schema.names)
    row |= {"measure": encoder, "encoder": encoder, "shown_box": [0, 0, 160, 120]}
    dataset.write_part(MEASURES["embedding"], [row | {"clip_id": f"c{number:02}"} for number in numbers])


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many embeddings were searched for, each time that any were."""
    numbers: list[int] = []

    def recorded(vectors: np.ndarray, num_new: int, *rest: float) -> Iterator[semantic.Pairs]:
        numbers.append(num_new)
        return semantic.close_pairs(vectors, num_new, *rest)

    monkeypatch.setattr(semantic_search, "close_pairs", recorded)
    return numbers


def test_embeddings_that_come_one_after_the_other_make_the_groups_of_all_together(
    dataset: Dataset, tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, searched: list[int]
) -> None:
    together = Dataset(str(tmp_path / "together"))
    add_embedded(together, video_row, clip_row, range(len(ALL)))
    group_duplicates(together, BY_MEANING)
    order = np.random.default_rng(0).permutation(len(ALL))
    for part in np.array_split(order, 4):
        add_embedded(dataset, video_row, clip_row, part.tolist())
        for _ in range(2):
            group_duplicates(dataset, BY_MEANING)
    found = groups(together)
    assert groups(dataset) == found
    assert [(row[1], row[3]) for row in found] == [("semantic", NUM_COPIES)] * len(ALL)
    assert searched == [36, 9, 9, 9, 9]


def test_an_embedding_that_is_written_anew_is_searched_for_again(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow, searched: list[int]
) -> None:
    add_embedded(dataset, video_row, clip_row, range(6))
    group_duplicates(dataset, BY_MEANING)
    embed(dataset, [1], turn=9.0)
    embed(dataset, [2], encoder="other")
    group_duplicates(dataset, BY_MEANING)
    assert [row[0] for row in groups(dataset)] == ["c00", "c02", "c03", "c04", "c05"]
    embed(dataset, [1])
    group_duplicates(dataset, BY_MEANING)
    assert {row[0]: row[3] for row in groups(dataset)} == dict.fromkeys((f"c{number:02}" for number in range(6)), 3)
    assert searched == [6, 1, 1]


def test_embeddings_of_two_models_are_not_compared(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow) -> None:
    add_embedded(dataset, video_row, clip_row, range(3))
    embed(dataset, [2], encoder="other")
    measured(dataset, [2], encoder="other")
    group_duplicates(dataset, BY_MEANING)
    assert [row[0] for row in groups(dataset)] == ["c00", "c01"]
