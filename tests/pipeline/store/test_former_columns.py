"""Columns that have had another name: part files written before are read like those written now."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.release import releases
from pipeline.release.as_of import when_frozen
from pipeline.rules.captions import judge_captions
from pipeline.rules.decisions import write_decisions
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect, write_portable_views
from schemas import CAPTION_DECISIONS, CAPTIONS, DECISIONS, VIDEOS
from schemas.columns import Table
from schemas.recipe import Recipe
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
FINGERPRINTS = "select rules_fingerprint from {}_raw order by written_us"


def write_old_part(folder: Path, columns: dict[str, Any]) -> None:
    """A part file as Reelmill wrote it when the fingerprint of rules was called `gate`."""
    folder.mkdir(parents=True)
    columns = {name: pa.array([value]) for name, value in columns.items()}
    pyarrow.parquet.write_table(pa.table(columns), folder / "part-0123456789abcdef.parquet")


@pytest.fixture
def dataset(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """A clip and a caption that were accepted and then rejected, by decisions in part files written before."""
    dataset = Dataset(str(tmp_path / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row("c0", "v0", status="pending")])
    write_captions(dataset, [caption_row("c0", written_us=0, status="pending")])
    rejected = {"gate": "before", "decided_us": 1, "status": "rejected", "reasons": ["still"]}
    write_old_part(tmp_path / "ds" / "decisions", {"clip_id": "c0", **rejected})
    write_old_part(tmp_path / "ds" / "caption_decisions", {"clip_id": "c0", "captioner": "cap0", **rejected})
    return dataset


def accept_again(dataset: Dataset) -> None:
    """Newer decisions, in parts written now."""
    accepted = {"clip_id": "c0", "rules_fingerprint": "now", "written_us": 2, "reasons": []}
    dataset.write_part(DECISIONS, [accepted | {"status": "kept"}])
    dataset.write_part(CAPTION_DECISIONS, [accepted | {"status": "ok", "captioner": "cap0"}])


@pytest.fixture(params=["old parts", "old and new parts"])
def fingerprints(request: pytest.FixtureRequest, dataset: Dataset) -> list[str]:
    """Of the decisions in the data set, oldest first."""
    if request.param == "old parts":
        return ["before"]
    accept_again(dataset)
    return ["before", "now"]


@pytest.mark.parametrize("table", [DECISIONS, CAPTION_DECISIONS], ids=lambda table: table.folder)
def test_reading_gives_the_names_of_now(dataset: Dataset, fingerprints: list[str], table: Table) -> None:
    found = dataset.read(table)
    assert found.column_names == table.schema.names
    assert sorted(found["rules_fingerprint"].to_pylist()) == fingerprints
    assert {key[table.key.index("rules_fingerprint")] for key in dataset.keys(table)} == set(fingerprints)
    assert dataset.read(table, ["clip_id"]).column_names == ["clip_id"]


def test_queries_and_plain_duckdb_see_the_names_of_now(
    dataset: Dataset, fingerprints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_portable_views(dataset)
    monkeypatch.chdir(dataset.location)
    plain = duckdb.connect()
    plain.execute(Path("views.sql").read_text())
    for connection in (connect(dataset), plain):
        for table in ("decisions", "caption_decisions"):
            assert connection.execute(FINGERPRINTS.format(table)).fetchall() == [(name,) for name in fingerprints]
            assert not {"gate", "decided_us"} & {
                name for name, *_ in connection.execute(f"describe {table}").fetchall()
            }
        is_accepted = "now" in fingerprints
        assert connection.execute("select status from clips").fetchall() == [("kept" if is_accepted else "rejected",)]
        assert connection.execute("select status from captions").fetchall() == [("ok" if is_accepted else "rejected",)]


OLD_CAPTIONS = {
    "ok0": ("ok", [], 0.0),
    "no0": ("rejected", ["caption_contradicts_camera"], 1.0),
    "no1": ("failed", ["frames: gone"], None),
}
"""Status, reasons and `contradicts_camera` as Reelmill wrote them into the rows of captions."""


@pytest.fixture
def old_captions(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow) -> Dataset:
    """Captions in a part file written before, each of another clip; two of them have no decision beside them."""
    dataset = Dataset(str(tmp_path / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row(name, "v0", camera_motion="still") for name in OLD_CAPTIONS])
    kinds = dict(zip(CAPTIONS.schema.names, CAPTIONS.schema.types, strict=True)) | CAPTIONS.former_columns
    kinds = {name: kind for name, kind in kinds.items() if name not in ("failure", "camera_claims", "written_us")}
    kinds |= {"contradicts_camera": pa.float64(), "captioned_us": pa.int64()}
    del kinds["contradicted_when_written"]
    rows = [
        dict.fromkeys(kinds)
        | {"clip_id": name, "captioner": "cap0", "captioner_name": "m", "language": "en", "captioned_us": 7}
        | {"status": status, "reasons": reasons, "contradicts_camera": contradicts, "num_attempts": 1}
        for name, (status, reasons, contradicts) in OLD_CAPTIONS.items()
    ]
    (tmp_path / "ds" / "captions").mkdir()
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
    pyarrow.parquet.write_table(table, tmp_path / "ds" / "captions" / "part-0123456789abcdef.parquet")
    return dataset


def test_captions_that_came_with_a_verdict_stand_as_it_says_until_they_are_judged_again(
    old_captions: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_portable_views(old_captions)
    monkeypatch.chdir(old_captions.location)
    plain = duckdb.connect()
    plain.execute(Path("views.sql").read_text())
    query = "select clip_id, status, reasons, contradicts_camera from captions order by 1 desc"
    expected = [(name, *facts) for name, facts in OLD_CAPTIONS.items()]
    for connection in (connect(old_captions), plain):
        assert connection.execute(query).fetchall() == sorted(expected, reverse=True)
        names = {name for name, *_ in connection.execute("describe captions_raw").fetchall()}
        assert names == set(CAPTIONS.schema.names)
    found = old_captions.read(CAPTIONS, ["clip_id", "failure", "written_us"]).to_pylist()
    assert sorted((row["clip_id"], row["failure"], row["written_us"]) for row in found) == [
        (name, facts[1][0] if facts[0] == "failed" else None, 7) for name, facts in sorted(OLD_CAPTIONS.items())
    ]
    no_rules = Recipe(name="no rules")
    judged = judge_captions(connect(old_captions), no_rules)
    assert write_decisions(old_captions, judged, no_rules) == 1  # of the one that was rejected
    statuses = "select status from captions order by clip_id"
    assert connect(old_captions).execute(statuses).fetchall() == [("ok",), ("failed",), ("ok",)]


def test_a_data_set_as_it_was_has_the_names_of_now(dataset: Dataset) -> None:
    accept_again(dataset)
    release, _ = releases.freeze(dataset, "first", "true")
    later = {"clip_id": "c0", "rules_fingerprint": "later", "status": "rejected", "reasons": ["still"]}
    dataset.write_part(DECISIONS, [later | {"written_us": (release.frozen_us or 0) + 1}])
    past = when_frozen(dataset, release)
    assert past is not None
    assert past.connection.execute(FINGERPRINTS.format("decisions")).fetchall() == [("before",), ("now",)]
    assert past.connection.execute("select status from clips").fetchall() == [("kept",)]


def test_a_table_without_parts_has_the_names_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Dataset(str(tmp_path))
    write_portable_views(dataset)
    monkeypatch.chdir(tmp_path)
    plain = duckdb.connect()
    plain.execute(Path("views.sql").read_text())
    for connection in (connect(dataset), plain):
        names = [name for name, *_ in connection.execute("describe decisions").fetchall()]
        assert names == DECISIONS.schema.names
    assert os.listdir(tmp_path) == ["views.sql"]
