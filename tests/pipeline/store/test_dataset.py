"""Tables on disk: complete files only, names from content, keys, runs, and queries over them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest

from pipeline.store.dataset import TEMPORARY, Dataset, DatasetError, to_parquet
from pipeline.store.views import connect, funnel, reject_reasons
from schemas import CLIPS, LATENTS, RELEASES, VIDEOS
from tests.conftest import write_clips

MakeRow = Callable[..., dict[str, Any]]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


def test_rows_come_back_and_duckdb_alone_reads_them(dataset: Dataset, clip_row: MakeRow) -> None:
    write_clips(dataset, [clip_row("c0", "v0"), clip_row("c1", "v0")])
    write_clips(dataset, [clip_row("c2", "v1")])
    write_clips(dataset, [])
    assert dataset.keys(CLIPS) == {("c0",), ("c1",), ("c2",)}
    assert len(dataset.part_files("clips")) == 2
    sql = f"select video_id, count(*) from '{dataset.location}/clips/*.parquet' group by 1 order by 1"
    assert duckdb.sql(sql).fetchall() == [("v0", 2), ("v1", 1)]
    part = pyarrow.parquet.read_schema(dataset.part_files("clips")[0])
    assert part.field("start_us").metadata[b"unit"] == b"us"


def test_the_same_keys_in_any_order_are_the_same_part(dataset: Dataset, clip_row: MakeRow) -> None:
    rows = [clip_row("c0", "v0"), clip_row("c1", "v0")]
    write_clips(dataset, rows)
    write_clips(dataset, rows[::-1])
    assert len(dataset.part_files("clips")) == 1
    write_clips(dataset, rows[:1])
    assert len(dataset.part_files("clips")) == 2


def test_a_half_written_part_is_never_read_and_is_cleared(
    dataset: Dataset, clip_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clips(dataset, [clip_row("c0", "v0")])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):  # as a killed process does neither
            patch.setattr(os, name, die)
        with pytest.raises(KeyboardInterrupt):
            write_clips(dataset, [clip_row("c1", "v0")])
    left = [name for name in os.listdir(f"{dataset.location}/clips") if TEMPORARY in name]
    assert len(left) == 1
    Path(dataset.location, "clips", left[0]).write_bytes(b"PAR1 half")
    assert dataset.keys(CLIPS) == {("c0",)}
    assert connect(dataset).execute("select count(*) from clips_raw").fetchall() == [(1,)]
    dataset.clear_temporaries()
    assert not [name for name in os.listdir(f"{dataset.location}/clips") if TEMPORARY in name]


def test_an_empty_data_set_has_every_table_and_view(dataset: Dataset) -> None:
    assert not dataset.exists()
    assert dataset.read(VIDEOS).num_rows == 0
    assert set(funnel(dataset).values()) == {0}
    assert reject_reasons(dataset) == []
    with pytest.raises(DatasetError, match="no videos table here"):
        dataset.require()


def test_a_location_that_cannot_hold_a_data_set_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for location in ("/dev/null/x", str(tmp_path / "file" / "ds")):
        with pytest.raises(DatasetError, match="cannot be written") as caught:
            Dataset(location).make_writable()
        assert "\n" not in str(caught.value)
    for use in (Dataset.make_writable, Dataset.require):
        with pytest.raises(DatasetError, match=r"data set nosuch://x/y: .*nosuch"):
            use(Dataset("nosuch://x/y"))


def test_make_writable_leaves_nothing_behind(dataset: Dataset) -> None:
    dataset.make_writable()
    assert os.listdir(dataset.location) == []


def test_a_location_is_absolute_wherever_the_work_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Dataset("ds").location == str(tmp_path / "ds")
    assert Dataset("s3://bucket/ds").location == "s3://bucket/ds"


def test_runs_are_kept_and_read_oldest_first(dataset: Dataset) -> None:
    dataset.write_run("20260102T000000Z-curate-bb", {"n": 2})
    dataset.write_run("20260101T000000Z-curate-aa", {"n": 1})
    dataset.write_run("20260102T000000Z-curate-bb", {"n": 3})
    assert dataset.runs() == [{"n": 1}, {"n": 3}]


def test_queries_see_each_release_under_a_name_that_sql_takes(dataset: Dataset) -> None:
    dataset.write_bytes("releases/first-1.0.parquet", to_parquet(RELEASES.encode([])))
    dataset.write_bytes("releases/first_1-0.parquet", to_parquet(RELEASES.encode([])))
    connection = connect(dataset)
    for name in ("release_first_1_0", "release_first_1_0_2"):
        columns = [name for name, *_ in connection.execute(f"describe {name}").fetchall()]
        assert columns == RELEASES.schema.names


def test_queries_see_every_table_and_the_subfolders_of_encoders(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row("c0", "v0", status="rejected", reasons=["still"])])
    row = dict.fromkeys(LATENTS.schema.names) | {"clip_id": "c0", "transform": "t", "status": "failed"}
    for encoder in ("e0", "e1"):
        dataset.write_part(LATENTS.within(encoder), [row | {"encoder": encoder}])
    connection = connect(dataset)
    assert connection.execute("select encoder from latents order by 1").fetchall() == [("e0",), ("e1",)]
    assert dataset.keys(LATENTS.within("e1")) == {("c0", "t", "e1")}
    assert reject_reasons(dataset) == [("still", 1, 1)]
