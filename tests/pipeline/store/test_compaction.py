"""Compaction: fewer files and rows, and every view as before, now and at each release, wherever it was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.ingest.inputs import COLUMNS
from pipeline.release.releases import frozen_times
from pipeline.store import compaction
from pipeline.store.compaction import CompactionError, Folded, compact
from pipeline.store.dataset import Dataset, to_parquet
from pipeline.store.pending_inputs import IDENTIFIED, InputStates
from pipeline.store.retrying import Retrying
from pipeline.store.views import QUERY_NAMES, connect, write_portable_views
from schemas import CAPTIONS, DECISIONS, LATENTS, VIDEOS
from schemas.columns import Table
from tests.pipeline.store.histories import END_US, FROZEN_US, VALUES, shown, write_history, write_release, write_rows

MakeRow = Callable[..., dict[str, Any]]
SEEDS = range(6)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


def fold(dataset: Dataset, **options: Any) -> dict[str, Folded]:
    return {folded.table: folded for folded in compact(dataset, frozen_times(dataset), **options)}


def files(dataset: Dataset) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in dataset.files("")}


def num_rows(dataset: Dataset, name: str) -> int:
    return connect(dataset).execute(f"select count(*) from {name}_raw").fetchall()[0][0]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_view_shows_the_same_now_and_at_each_release(dataset: Dataset, seed: int) -> None:
    write_history(dataset, seed, num_undated=seed % 4)
    views = ("clips", "captions", "duplicates", "video_locations", "trainable") if seed == 0 else ()
    before = shown(dataset, views)
    assert all(rows for (time, _), rows in before.items() if time == "now")
    folded = fold(dataset)
    assert shown(dataset, views) == before
    assert folded.keys() == {of.folder for table in QUERY_NAMES.values() for of, _ in dataset.parts(table)}
    for table in folded.values():
        assert table.after.num_files == 1
        assert table.after.num_rows < table.before.num_rows


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_is_pending_of_inputs(dataset: Dataset, seed: int) -> None:
    """What is planned reads rows that no view shows: failures of inputs, and bytes that were known before."""
    write_history(dataset, seed)
    before = pending_inputs(dataset)
    fold(dataset)
    assert pending_inputs(dataset) == before


def pending_inputs(dataset: Dataset) -> list[Any]:
    """What is to be done about inputs, wherever their bytes are now and however they are to be divided."""
    found: list[Any] = []
    uris = [*VALUES["uri"], "/new.mp4"]
    for split in ("s", "t"):
        for video_id in ("v0", "v1"):
            given = {"uri": uris, "file_bytes": [100] * 3, "modified_us": [1] * 3, "source": ["{}"] * 3}
            listed = pa.table({name: pa.array(given.get(name, [0] * 3), kind) for name, kind in COLUMNS.items()})
            states = InputStates(dataset, listed, split, Retrying("now", max_failures=2))
            pending = states.pending(pa.table({"uri": uris, "video_id": [video_id] * 3}, IDENTIFIED))
            tables = [sorted(map(str, rows.to_pylist())) for rows in (pending.relocated, pending.retold)]
            found += [list(states.to_identify()), list(pending.to_scan), *tables]
    return found


def test_latents_that_training_reads_stay_whatever_failed_later(dataset: Dataset) -> None:
    write_history(dataset, 0)
    before = newest_ok(dataset)
    fold(dataset)
    assert newest_ok(dataset) == before


def newest_ok(dataset: Dataset) -> list[tuple]:
    query = "select clip_id, transform, encoder, arg_max(data, written_us) from latents_raw where status = 'ok'"
    return connect(dataset).execute(f"{query} group by all order by all").fetchall()


def test_a_second_compaction_does_nothing(dataset: Dataset) -> None:
    write_history(dataset, 0)
    fold(dataset)
    before = files(dataset)
    assert fold(dataset) == {}
    assert files(dataset) == before


@pytest.mark.parametrize("num_deleted", [0, 1, 3])
def test_killed_between_writing_and_deleting_it_shows_the_same_and_the_next_one_finishes(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, num_deleted: int
) -> None:
    write_history(dataset, 0, num_undated=2)
    before, planned = shown(dataset), pending_inputs(dataset)
    delete_files = Dataset.delete_files

    def die(dataset: Dataset, paths: Any) -> None:
        delete_files(dataset, list(paths)[:num_deleted])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "delete_files", die)
        while dies(dataset):  # each time in the next table
            pass
    assert shown(dataset) == before
    assert pending_inputs(dataset) == planned
