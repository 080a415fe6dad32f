"""What is left to do, from the tables alone: in particular after a run was killed between two writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.ingest.inputs import ListedInput, list_inputs
from pipeline.store.dataset import Dataset
from pipeline.store.pending import mark_copies, pending_inputs, to_caption, to_measure, to_remeasure
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, MEASURES, VIDEOS
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
    pending = pending_inputs(dataset, files)
    assert copies(pending.inputs) == {"a": None, "b": "a", "c": None, "d": None}
    assert not pending.orphans


def test_nothing_is_pending_once_every_input_has_its_row(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    assert not pending_inputs(dataset, files).inputs


def test_a_file_that_changed_is_read_again(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, tmp_path: Path
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    (tmp_path / "d.mp4").write_bytes(b"changed")
    pending = pending_inputs(dataset, list_inputs([str(tmp_path / "*.mp4")]).inputs)
    assert copies(pending.inputs) == {"d": None}


def test_a_new_file_can_be_a_copy_of_one_done_before(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, files[0])])
    assert copies(pending_inputs(dataset, files).inputs) == {"b": "a", "c": None, "d": None}


def test_a_copy_whose_row_came_first_does_not_stand_for_its_original(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    """Killed after the copy's row and the original's clips were written, before the original's row was."""
    a, b, *_ = files
    dataset.write_part(VIDEOS, [row_of(video_row, b, duplicate_of=a.uri)])
    dataset.write_part(CLIPS, [clip_row("c0", file_digest(a.uri)[:ID_HEX_CHARS])])
    pending = pending_inputs(dataset, files)
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
    dataset.write_part(MEASURES["embedding"], [measured("embedding", "kept", "m", encoder="e")])
    (waiting,) = to_caption(dataset, "cap0")
    assert (waiting["clip_id"], waiting["embedding"]) == ("kept", [1.0])
    assert [clip["clip_id"] for clip in to_caption(dataset, "cap1")] == ["done", "kept"]


def measured(name: str, clip_id: str, fingerprint: str, **scores: Any) -> dict[str, Any]:
    row = dict.fromkeys(MEASURES[name].schema.names) | {"clip_id": clip_id, "measure": fingerprint, "measured_us": 1}
    return row | scores


def test_a_measure_with_another_fingerprint_is_taken_again_and_only_that_one(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0"), video_row("v1")])
    rows = [clip_row(f"c{i}", f"v{i // 2}", measured='{"motion": "m1", "tells": "t1"}') for i in range(4)]
    dataset.write_part(CLIPS, rows)
    assert to_remeasure(dataset, {"motion": "m1", "tells": "t1"}) == []
    dataset.write_part(MEASURES["motion"], [measured("motion", "c2", "m2")])
    work = to_remeasure(dataset, {"motion": "m2", "tells": "t1"})
    assert [(w.uri, sorted(c["clip_id"] for c in w.clips), w.measures) for w in work] == [
        ("/videos/v0.mp4", ["c0", "c1"], ("motion",)),
        ("/videos/v1.mp4", ["c3"], ("motion",)),
    ]


def test_clips_still_in_are_looked_at_for_what_they_lack(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0")])
    rows = [clip_row("kept", "v0"), clip_row("waits", "v0", status="pending"), clip_row("out", "v0", status="rejected")]
    dataset.write_part(CLIPS, rows)
    dataset.write_part(MEASURES["safety"], [measured("safety", "kept", "s1", nsfw=0.5)])
    needs = {row["clip_id"]: row["needs"] for row in to_measure(dataset, {"overlay_text": "o1", "safety": "s1"})}
    assert needs == {"kept": ["overlay_text"], "waits": ["overlay_text", "safety"]}
    assert to_measure(dataset, {}) == []
