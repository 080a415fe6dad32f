"""What stands, as plain Parquet: read without Reelmill, one row a clip, the funnel's numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest

from pipeline.store import manifest, portions
from pipeline.store.dataset import TEMPORARY, Dataset
from pipeline.store.manifest import write_manifest
from pipeline.store.views import funnel
from schemas import DECISIONS, VIDEOS
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]


@pytest.fixture
def dataset(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """Five clips: two that were pending when they were scanned, of which one is kept now and has three captions."""
    dataset = Dataset(str(tmp_path / "ds"))
    dataset.write_part(
        VIDEOS, [video_row("v0", source='{"title": "A"}'), video_row("bad", status="failed", video_id=None)]
    )
    clips = [clip_row(f"c{i}", "v0", start_us=10 - i, brightness=i / 10, status="pending") for i in range(2)]
    clips += [clip_row(f"c{i}", "v0", start_us=10 - i, status="rejected", reasons=["still"]) for i in range(2, 5)]
    write_clips(dataset, clips)
    decision = {"clip_id": "c0", "rules_fingerprint": "g", "written_us": 5, "status": "kept", "reasons": []}
    dataset.write_part(DECISIONS, [decision])
    said = (
        ("old", {"written_us": 1}),
        ("new", {"written_us": 2, "merged": "together"}),
        ("bad", {"status": "rejected"}),
    )
    write_captions(dataset, [caption_row("c0", name, **facts) for name, facts in said])
    write_manifest(dataset)
    return dataset


def test_statuses_are_those_of_the_funnel(dataset: Dataset) -> None:
    counts = duckdb.sql(
        f"select status, count(*) from '{dataset.location}/manifest/clips.parquet' group by 1"
    ).fetchall()
    assert dict(counts) == {"kept": 1, "pending": 1, "rejected": 3}
    assert {f"clips {status}": count for status, count in counts}.items() <= funnel(dataset).items()
    videos = pyarrow.parquet.read_table(f"{dataset.location}/manifest/videos.parquet").to_pylist()
    assert sorted(row["status"] for row in videos) == ["failed", "probed"]


def test_a_clip_is_one_row_with_its_scores_and_its_newest_accepted_caption(dataset: Dataset) -> None:
    rows = pyarrow.parquet.read_table(f"{dataset.location}/manifest/clips.parquet").to_pylist()
    assert [row["clip_id"] for row in rows] == ["c4", "c3", "c2", "c1", "c0"]
    kept = rows[-1]
    assert (kept["captioner"], kept["detailed"], kept["source"]) == ("new", "together", '{"title": "A"}')
    assert (kept["brightness"], kept["content_box"], kept["reasons"]) == (0.0, [0, 0, 160, 120], [])
    assert rows[0]["captioner"] is None


def test_a_manifest_is_replaced_whole(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "ROWS_AT_A_TIME", 2)
    before = pyarrow.parquet.read_table(f"{dataset.location}/manifest/clips.parquet")
    write_manifest(dataset)
    assert pyarrow.parquet.read_table(f"{dataset.location}/manifest/clips.parquet").equals(before)
    assert not [path for path in Path(dataset.location).rglob("*") if path.name.startswith(TEMPORARY)]


def test_no_clips_are_a_table_without_rows(tmp_path: Path) -> None:
    empty = Dataset(str(tmp_path))
    write_manifest(empty)
    assert pyarrow.parquet.read_table(f"{tmp_path}/manifest/clips.parquet").num_rows == 0


def test_clips_are_the_same_whatever_is_taken_at_a_time(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{dataset.location}/manifest/clips.parquet"
    before = pyarrow.parquet.read_table(path)
    for at_a_time in (1, 3):
        monkeypatch.setattr(portions, "CLIPS_AT_A_TIME", at_a_time)
        write_manifest(dataset)
        after = pyarrow.parquet.read_table(path)
        assert after.schema.equals(before.schema)
        assert sorted(after.to_pylist(), key=lambda row: row["clip_id"]) == sorted(
            before.to_pylist(), key=lambda row: row["clip_id"]
        )


def test_a_data_set_without_clips_has_a_manifest_without_rows(tmp_path: Path, video_row: MakeRow) -> None:
    dataset = Dataset(str(tmp_path / "none"))
    dataset.write_part(VIDEOS, [video_row("bad", status="failed", video_id=None)])
    write_manifest(dataset)
    clips = pyarrow.parquet.read_table(f"{dataset.location}/manifest/clips.parquet")
    assert (clips.num_rows, "brightness" in clips.column_names) == (0, True)
    assert pyarrow.parquet.read_table(f"{dataset.location}/manifest/videos.parquet").num_rows == 1
