"""Inputs with the same bytes as another: which is the original, and that nothing is read for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.ingest import byte_identical
from pipeline.ingest.byte_identical import mark_duplicates
from pipeline.ingest.inputs import ListedInput, list_inputs
from schemas.identity import ID_HEX_CHARS, file_digest


def originals(inputs: tuple[ListedInput, ...]) -> list[str | None]:
    return [Path(listed.duplicate_of).stem if listed.duplicate_of else None for listed in inputs]


@pytest.fixture
def files(tmp_path: Path) -> list[ListedInput]:
    """Four inputs: two with the same bytes, one of the same size with others, one of its own size."""
    for name, content in {"a": b"same", "b": b"same", "c": b"else", "d": b"longer"}.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    return list(list_inputs([str(tmp_path)]).inputs)


def test_the_first_in_order_is_the_original(files: list[ListedInput]) -> None:
    assert originals(mark_duplicates(files, [])) == [None, "a", None, None]
    assert originals(mark_duplicates(files[::-1], [])) == [None, None, None, "b"]


def test_a_video_in_the_tables_comes_before_all_inputs(files: list[ListedInput]) -> None:
    video_id = file_digest(files[0].uri)[:ID_HEX_CHARS]
    video = {"video_id": video_id, "uri": "/elsewhere/z.mp4", "file_bytes": 4, "duplicate_of": None}
    assert originals(mark_duplicates(files, [video])) == ["z", "z", None, None]
    assert originals(mark_duplicates(files, [video | {"duplicate_of": "/y.mp4"}])) == [None, "a", None, None]


def test_only_files_of_one_size_are_read(files: list[ListedInput], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(byte_identical, "_video_id", lambda uri: read.append(Path(uri).stem))
    mark_duplicates(files, [])
    assert sorted(read) == ["a", "b", "c"]


def test_files_that_cannot_be_read_are_no_duplicates(tmp_path: Path) -> None:
    gone = [ListedInput(str(tmp_path / name), file_bytes=5) for name in ("x.mp4", "y.mp4")]
    assert [listed.duplicate_of for listed in mark_duplicates(gone, [])] == [None, None]
    empty = [ListedInput(str(tmp_path / name)) for name in ("x.mp4", "y.mp4")]
    assert [listed.duplicate_of for listed in mark_duplicates(empty, [])] == [None, None]
