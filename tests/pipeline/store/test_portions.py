"""Queries over clips asked of some at a time give what they give when asked of all at once, in little memory."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pipeline.store import portions
from pipeline.store.dataset import Dataset
from pipeline.store.portions import bounded, gather
from pipeline.store.views import connect
from tests.pipeline.store.histories import write_history

VIEWS = ("scored", "captions", "trainable", "embeddings", "decisions", "duplicates")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = Dataset(str(tmp_path / "ds"))
    write_history(dataset, seed=4, num_undated=1)
    return dataset


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return sorted(map(repr, connection.execute(query).fetchall()))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("clips_at_a_time", [20, 1000])
def test_what_is_gathered_is_what_a_query_gives(
    dataset: Dataset, view: str, clips_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "CLIPS_AT_A_TIME", clips_at_a_time)
    connection = bounded(dataset)
    expected = rows(connect(dataset), f"from {view}")
    gather(connection, "gathered", f"from {view}")
    assert rows(connection, "from gathered") == expected
    assert rows(connection, "from clips_raw") == rows(connect(dataset), "from clips_raw")


def test_each_portion_is_of_some_clips_alone(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "CLIPS_AT_A_TIME", 1)
    connection = bounded(dataset)
    gather(connection, "sizes", "select count(distinct clip_id) as clips, count(distinct uri) as videos from clips_raw")
    found = connection.execute("from sizes").fetchall()
    assert max(clips for clips, _ in found) < 3
    assert sum(clips for clips, _ in found) == 3


def test_a_query_that_fails_leaves_the_connection_with_all_rows(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "CLIPS_AT_A_TIME", 1)
    connection = bounded(dataset)
    before = rows(connection, "from clips_raw")
    with pytest.raises(duckdb.Error):
        gather(connection, "gathered", "select clip_id, error('no') from clips_raw")
    assert rows(connection, "from clips_raw") == before


def test_memory_is_limited(dataset: Dataset) -> None:
    query = "select current_setting('memory_limit')"
    assert bounded(dataset).execute(query).fetchall() == [("1.0 GiB",)]
    assert bounded(dataset, "64MiB").execute(query).fetchall() == [("64.0 MiB",)]


def test_a_folder_with_a_name_that_is_a_pattern_is_read(tmp_path: Path) -> None:
    """The tables of `a[1]*`, and not those of `a1b` or of none."""
    for name, seed in (("a[1]*", 4), ("a1b", 5)):
        write_history(Dataset(str(tmp_path / name)), seed=seed, num_undated=1)
    write_history(Dataset(str(tmp_path / "plain")), seed=4, num_undated=1)
    found, other, expected = (
        rows(connect(Dataset(str(tmp_path / name))), "select * exclude (written_us) from clips_raw")
        for name in ("a[1]*", "a1b", "plain")
    )
    assert found == expected != other


def test_clips_are_not_held_in_memory_for_joins_with_empty_tables(dataset: Dataset) -> None:
    """DuckDB would turn left joins about: `AS_WRITTEN`."""
    plan = connect(dataset).execute("explain select * from scored").fetchall()[0][1]
    assert "LEFT" in plan
    assert "RIGHT" not in plan
