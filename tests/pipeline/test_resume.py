"""What is left to do, from the tables alone: in particular after a run was killed between two writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset import Dataset
from pipeline.listing import ListedInput, list_inputs
from pipeline.resume import find_pending, mark_copies
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, VIDEOS
from schemas.identity import ID_HEX_CHARS, file_digest

MakeRow = Callable[..., dict[str, Any]]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


@pytest.fixture
def files(tmp_path: Path) -> list[ListedInput]:
    """Four inputs: two with the same bytes, one of the same size with others, one of its own size."""
    for name, content in {"a": b"same", "b": b"same", "c": b"else", "d": b"longer"}.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    return list(list_inputs([str(tmp_path)]).inputs)


def row_of(video_row: MakeRow, listed: ListedInput, **changes: Any) -> dict[str, Any]:
    video_id = file_digest(listed.uri)[:ID_HEX_CHARS]
    facts = {"uri": listed.uri, "file_bytes": listed.file_bytes, "modified_us": listed.modified_us}
    return video_row(video_id, **(facts | changes))


def copies(inputs: tuple[ListedInput, ...]) -> dict[str, str | None]:
    return {Path(x.uri).stem: Path(x.duplicate_of).stem if x.duplicate_of else None for x in inputs}


def test_everything_is_pending_at_first_and_the_second_copy_is_marked(
    dataset: Dataset, files: list[ListedInput]
) -> None:
    pending = find_pending(dataset, files, None)
    assert copies(pending.inputs) == {"a": None, "b": "a", "c": None, "d": None}
    assert pending
    assert not pending.orphans


def test_nothing_is_pending_once_every_input_has_its_row(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    assert not find_pending(dataset, files, None)


def test_a_file_that_changed_is_read_again(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, tmp_path: Path
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    (tmp_path / "d.mp4").write_bytes(b"changed")
    pending = find_pending(dataset, list_inputs([str(tmp_path / "*.mp4")]).inputs, None)
    assert copies(pending.inputs) == {"d": None}


def test_a_new_file_can_be_a_copy_of_one_done_before(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, files[0])])
    assert copies(find_pending(dataset, files, None).inputs) == {"b": "a", "c": None, "d": None}


def test_a_copy_whose_row_came_first_does_not_stand_for_its_original(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    """Killed after the copy's row and the original's clips were written, before the original's row was."""
    a, b, *_ = files
    dataset.write_part(VIDEOS, [row_of(video_row, b, duplicate_of=a.uri)])
    dataset.write_part(CLIPS, [clip_row("c0", file_digest(a.uri)[:ID_HEX_CHARS])])
    pending = find_pending(dataset, files, None)
    assert copies(pending.inputs) == {"a": None, "c": None, "d": None}
    assert pending.orphans == {("c0",)}


def test_files_that_cannot_be_read_are_no_copies(tmp_path: Path) -> None:
    gone = [ListedInput(str(tmp_path / name), file_bytes=5) for name in ("x.mp4", "y.mp4")]
    assert [listed.duplicate_of for listed in mark_copies(gone, [])] == [None, None]
    empty = [ListedInput(str(tmp_path / name)) for name in ("x.mp4", "y.mp4")]
    assert [listed.duplicate_of for listed in mark_copies(empty, [])] == [None, None]


def test_clips_wait_for_the_captioner_that_is_asked_for(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    video_id = file_digest(files[0].uri)[:ID_HEX_CHARS]
    rows = [
        clip_row("kept", video_id),
        clip_row("done", video_id),
        clip_row("out", video_id, status="rejected", reasons=["still"]),
        clip_row("orphan", "video without a row"),
    ]
    dataset.write_part(CLIPS, rows)
    dataset.write_part(CAPTIONS, [caption_row("done", "cap0")])
    point = {"encoder": "e", "embedding": [1.0]}
    dataset.write_part(EMBEDDINGS, [{"clip_id": name, **point} for name in ("kept", "done")])
    pending = find_pending(dataset, files, "cap0")
    assert [clip["clip_id"] for clip in pending.uncaptioned] == ["kept"]
    assert pending.orphans == {("orphan",)}
    assert pending.embedded == {("kept", "e")}
    again = find_pending(dataset, files, "cap1")
    assert [clip["clip_id"] for clip in again.uncaptioned] == ["kept", "done"]
    assert find_pending(dataset, files, None).uncaptioned == ()
