"""Which rows are superseded, table by table: each row is written a moment after the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.store.dataset import Dataset, to_parquet
from pipeline.store.superseded import Superseded
from pipeline.store.views import QUERY_NAMES
from schemas.columns import Table

PROBED = {"uri": "/a", "video_id": "v0", "status": "probed", "split": "s"}
FAILED = PROBED | {"status": "failed", "split": None, "transient": False}
TRANSIENT = FAILED | {"transient": True}
MEASURED = {"clip_id": "c0", "measure": "m0"}
LATENT = {"clip_id": "c0", "transform": "t0", "encoder": "e0", "status": "ok"}
CAPTION = {"clip_id": "c0", "captioner": "cap0", "detailed": "a ball"}
DECISION = {"clip_id": "c0", "rules_fingerprint": "r0"}
MATCH = {"clip_id": "c0", "match_id": "c1"}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


def write(dataset: Dataset, table: Table, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """A part with the columns that the rows have, and no others."""
    given = {name for row in rows for name in row}
    part = pa.Table.from_pylist(rows, pa.schema([field for field in table.schema if field.name in given]))
    dataset.write_bytes(f"{table.folder}/part-{name}.parquet", to_parquet(part))


def kept(
    dataset: Dataset,
    name: str,
    rows: Sequence[dict[str, Any]],
    *,
    frozen_us: Sequence[int] = (),
    times_us: Sequence[int | None] | None = None,
) -> list[int]:
    """Numbers of the rows that stay, which are in two parts."""
    table = QUERY_NAMES[name]
    times_us = range(len(rows)) if times_us is None else times_us
    rows = [row | {"run_id": "", "written_us": time_us} for row, time_us in zip(rows, times_us, strict=True)]
    middle = len(rows) // 2
    write(dataset, table, "0", rows[:middle])
    write(dataset, table, "1", rows[middle:])
    paths = dataset.part_files(table.folder)
    superseded = Superseded(dataset, name, table, paths, frozen_us)
    gone = {int(place) + part * middle for part in range(len(paths)) for place in superseded.places(part)}
    assert [part.num_rows for part in superseded.parts] == [middle, len(rows) - middle]
    assert sum(part.num_superseded for part in superseded.parts) == len(gone)
    return [number for number in range(len(rows)) if number not in gone]


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("videos", [PROBED, PROBED, PROBED | {"uri": "/b"}, PROBED], [2, 3]),
        ("videos", [PROBED, TRANSIENT, TRANSIENT], [0, 2]),
        ("videos", [FAILED, TRANSIENT], [0, 1]),
        ("videos", [FAILED, FAILED | {"status": "probed"}], [0, 1]),
        ("videos", [PROBED | {"transient": None}, PROBED | {"transient": False}], [1]),
        ("videos", [PROBED, PROBED | {"video_id": "v1"}, PROBED | {"video_id": "v1"}], [0, 2]),
        ("videos", [PROBED, PROBED | {"split": "t"}], [0, 1]),
        ("videos", [PROBED, PROBED | {"duplicate_of": "/b"}, PROBED | {"duplicate_of": "/c"}], [0, 2]),
        ("measures_safety", [MEASURED, MEASURED, MEASURED | {"failure": "x"}, MEASURED | {"failure": "y"}], [1, 3]),
        ("measures_motion", [MEASURED, MEASURED | {"measure": "m1"}, MEASURED], [1, 2]),
        ("latents", [LATENT, LATENT, LATENT | {"status": "failed"}], [1, 2]),
        ("latents", [LATENT | {"status": "failed"}, LATENT | {"status": "failed", "transient": True}], [0, 1]),
        ("captions", [CAPTION, CAPTION | {"given": "hints"}, CAPTION | {"shown_box": [0, 0, 1, 1]}], [0, 1, 2]),
        ("captions", [CAPTION, CAPTION | {"failure": "cut off"}, CAPTION | {"captioner": "cap1"}], [0, 1, 2]),
        ("decisions", [DECISION, DECISION | {"rules_fingerprint": "r1"}, DECISION | {"clip_id": "c1"}], [1, 2]),
        ("caption_decisions", [DECISION | CAPTION, DECISION | CAPTION | {"rules_fingerprint": "r1"}], [1]),
        ("duplicate_matches", [MATCH, MATCH | {"match_id": None}, MATCH | {"match_id": None}, MATCH], [2, 3]),
    ],
)
def test_the_newest_row_of_each_kind_stays(
    dataset: Dataset, name: str, rows: Sequence[dict[str, Any]], expected: list[int]
) -> None:
    assert kept(dataset, name, rows) == expected


@pytest.mark.parametrize(
    ("frozen_us", "expected"),
    [([], [5]), ([2], [2, 5]), ([4, 1], [1, 4, 5]), ([9], [5]), ([-1], [5]), ([2, 2, 3], [2, 3, 5])],
)
def test_so_does_what_was_newest_at_a_release(dataset: Dataset, frozen_us: list[int], expected: list[int]) -> None:
    """A row that was written in the moment of the release is one of those that it shows."""
    assert kept(dataset, "captions", [CAPTION] * 6, frozen_us=frozen_us) == expected


@pytest.mark.parametrize(("frozen_us", "expected"), [([], [3]), ([5], [1, 2, 3])])
def test_rows_without_a_time_are_older_than_all(dataset: Dataset, frozen_us: list[int], expected: list[int]) -> None:
    rows = [CAPTION | {"detailed": f"{number}"} for number in range(4)]
    times_us = [None, None, 5, 9]
    assert [max(number, 1) for number in kept(dataset, "captions", rows, frozen_us=frozen_us, times_us=times_us)] == (
        expected
    )


def test_of_equal_rows_one_stays(dataset: Dataset) -> None:
    assert kept(dataset, "captions", [CAPTION] * 6, times_us=[1, 1, 2, 2, 2, 2]) == [2]
    assert kept(dataset, "captions", [CAPTION] * 6, times_us=[None] * 6, frozen_us=[1]) == [0]


def test_parts_say_when_they_begin_and_whether_columns_are_former(dataset: Dataset) -> None:
    kept(dataset, "captions", [CAPTION] * 4, times_us=[7, 8, None, 9])
    write(dataset, QUERY_NAMES["captions"], "2", [])
    paths = dataset.part_files("captions")
    parts = Superseded(dataset, "captions", QUERY_NAMES["captions"], paths, []).parts
    assert [part.first_us for part in parts] == [7, 0, 0]
    assert [part.num_rows for part in parts] == [2, 2, 0]
    assert not any(part.has_former_columns for part in parts)
    old = pa.table({"clip_id": ["c0", "c1"], "captioner": ["cap0"] * 2, "captioned_us": [5, 4]})
    dataset.write_bytes("captions/part-3.parquet", to_parquet(old))
    paths = dataset.part_files("captions")
    superseded = Superseded(dataset, "captions", QUERY_NAMES["captions"], paths, [])
    assert (superseded.parts[-1].has_former_columns, superseded.parts[-1].first_us) == (True, 4)
    assert superseded.places(len(paths) - 1).tolist() == [0]
