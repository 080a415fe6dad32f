"""Plans: what a query finds, in pieces that hold whole videos, on disk until they are carried out."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pipeline.store import plans
from pipeline.store.dataset import PLANS, TEMPORARY, Dataset
from pipeline.store.plans import Plan, write_plan

QUERY = """
select 'v' || lpad((i % {num_videos})::varchar, 3, '0') as uri, i // {num_videos} as number, [i, i + 1] as pair
from range({num_rows}) t(i)
"""


def plan_of(dataset: Dataset, num_videos: int, num_rows: int) -> Plan:
    query = QUERY.format(num_videos=num_videos, num_rows=num_rows)
    return write_plan(dataset, duckdb.connect(), query, order="number desc")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path))


@pytest.mark.parametrize(("num_videos", "num_rows"), [(1, 1), (1, 50), (7, 7), (37, 400), (250, 500)])
def test_pieces_hold_whole_videos_in_order_and_nothing_is_lost(
    dataset: Dataset, num_videos: int, num_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "MIN_PIECES", 10)
    monkeypatch.setattr(plans, "PIECES_A_FILE", 3)
    monkeypatch.setattr(plans, "ROWS_AT_A_TIME", 16)
    plan = plan_of(dataset, num_videos, num_rows)
    rows = list(plan)
    assert [(row["uri"], row["number"]) for row in rows] == sorted(
        ((f"v{i % num_videos:03}", i // num_videos) for i in range(num_rows)), key=lambda row: (row[0], -row[1])
    )
    assert (len(plan), plan.num_videos) == (num_rows, num_videos)
    assert sorted(row["pair"][0] for row in rows) == list(range(num_rows))
    found = [{row["uri"] for row in of_video} for piece in range(plan.num_pieces) for of_video in plan.videos(piece)]
    assert all(len(uris) == 1 for uris in found)
    assert len(found) == num_videos
    assert plan.num_pieces <= num_videos
    assert plan.num_pieces >= min(num_videos, 10) // 2


def test_a_piece_holds_no_more_videos_than_it_may(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MIN_PIECES", 1)
    monkeypatch.setattr(plans, "MAX_VIDEOS", 4)
    plan = plan_of(dataset, 10, 30)
    assert [len(list(plan.videos(piece))) for piece in range(plan.num_pieces)] == [4, 4, 2]


def test_a_plan_is_a_temporary_file_until_it_is_carried_out(dataset: Dataset) -> None:
    plan, lost = plan_of(dataset, 3, 6), plan_of(dataset, 3, 6)
    (one, other) = (Path(dataset.location) / PLANS).iterdir()
    assert one.name.startswith(TEMPORARY)
    assert dataset.files("") == []
    plan.delete()
    assert len(list(lost)) == 6
    assert [one.exists(), other.exists()].count(True) == 1
    dataset.clear_temporaries()
    assert not one.exists()
    assert not other.exists()


def test_a_plan_of_nothing_is_no_file(dataset: Dataset) -> None:
    plan = plan_of(dataset, 1, 0)
    assert not plan
    assert list(plan) == []
    assert not (Path(dataset.location) / PLANS).exists()


def test_rows_may_be_decoded_as_they_are_read(dataset: Dataset) -> None:
    query = QUERY.format(num_videos=1, num_rows=2)
    plan = write_plan(dataset, duckdb.connect(), query, order="number", decode=_doubled)
    assert [row["number"] for row in plan] == [0, 2]


def _doubled(row: plans.Row) -> plans.Row:
    return row | {"number": 2 * row["number"]}
