"""Parts of a fair size: by bytes, by age, at the end, and in the order of their tables."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.store import part_writer
from pipeline.store.dataset import Dataset
from pipeline.store.part_writer import PartWriter
from schemas import CLIPS, VIDEOS
from schemas.columns import Table

MakeRow = Callable[..., dict[str, Any]]
PATIENCE_S = 20.0


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path), run_id="run")


@pytest.fixture
def rows(video_row: MakeRow, clip_row: MakeRow) -> Callable[[str], dict[Table, pa.Table]]:
    def make(name: str) -> dict[Table, pa.Table]:
        clip = {key: value for key, value in clip_row(f"clip of {name}", name).items() if key in CLIPS.schema.names}
        return {CLIPS: CLIPS.unstamped([clip]), VIDEOS: VIDEOS.unstamped([video_row(name)])}

    return make


def test_rows_are_written_together_at_the_end(dataset: Dataset, rows) -> None:
    with PartWriter(dataset, [CLIPS, VIDEOS]) as writer:
        for name in ("v0", "v1", "v2"):
            writer.add(rows(name))
        assert dataset.part_files("") == []
    assert [len(dataset.part_files(table.folder)) for table in (CLIPS, VIDEOS)] == [1, 1]
    found = dataset.read(VIDEOS).to_pylist()
    assert [(row["video_id"], row["run_id"]) for row in found] == [(f"v{i}", "run") for i in range(3)]
    assert all(row["written_us"] > 1e15 for row in found)


def test_rows_that_are_old_are_written_though_no_others_come(
    dataset: Dataset, rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_writer, "MIN_AGE_S", 0.05)
    monkeypatch.setattr(part_writer, "CHECK_S", 0.01)
    with PartWriter(dataset, [CLIPS, VIDEOS]) as writer:
        writer.add(rows("v0"))
        end_s = time.monotonic() + PATIENCE_S
        while not dataset.part_files("videos") and time.monotonic() < end_s:
            time.sleep(0.01)
        assert dataset.read(VIDEOS).num_rows == 1


def test_a_part_that_is_large_is_written_at_once(dataset: Dataset, rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "MAX_BYTES", 2 * sum(part.nbytes for part in rows("v0").values()))
    with PartWriter(dataset, [CLIPS, VIDEOS]) as writer:
        for i, num_parts in enumerate((0, 1, 1, 2)):
            writer.add(rows(f"v{i}"))
            assert len(dataset.part_files("videos")) == num_parts


def test_tables_are_written_in_the_order_given_whatever_came_first(
    dataset: Dataset, rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(Dataset, "write_table", lambda self, table, rows: order.append(table.name))
    with PartWriter(dataset, [CLIPS, VIDEOS]) as writer:
        writer.add({VIDEOS: rows("v0")[VIDEOS]})
        writer.add(rows("v1"))
    assert order == ["clips", "videos"]


def test_what_was_worked_out_is_written_when_the_rest_fails(dataset: Dataset, rows) -> None:
    def add_and_fail() -> None:
        with PartWriter(dataset, [CLIPS, VIDEOS]) as writer:
            writer.add(rows("v0"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    assert dataset.read(VIDEOS).num_rows == 1


def test_a_store_that_refuses_stops_the_run(dataset: Dataset, rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the part was written for its age, by a thread of its own."""
    refused = threading.Event()

    def refuse(self: Dataset, table: Table, rows: pa.Table) -> None:
        refused.set()
        raise OSError(os.strerror(28))

    def add_for_long() -> None:
        with PartWriter(dataset, [CLIPS, VIDEOS]) as writer:
            end_s = time.monotonic() + PATIENCE_S
            while time.monotonic() < end_s:
                writer.add(rows("v0"))
                assert refused.wait(PATIENCE_S)

    monkeypatch.setattr(Dataset, "write_table", refuse)
    monkeypatch.setattr(part_writer, "MIN_AGE_S", 0.0)
    monkeypatch.setattr(part_writer, "CHECK_S", 0.01)
    with pytest.raises(OSError, match="No space"):
        add_for_long()
