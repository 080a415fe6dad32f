"""Tables are made once for a key, and again when their file is not what was written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pipeline.encode import kept_tables as module
from pipeline.encode.kept_tables import kept_tables
from pipeline.store.dataset import Dataset

SCHEMAS = {"numbers": pa.schema({"number": pa.int32(), "text": pa.string()}), "one": pa.schema({"one": pa.int32()})}
NUM_ROWS = 50_000


class Making:
    """Makes the tables, and counts how often."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.num_made = dataset, 0

    def __call__(self, key: str = "k") -> dict[str, pa.Table]:
        return kept_tables(self.dataset, "kept/of", key, SCHEMAS, self._make)

    def _make(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        self.num_made += 1
        connection.execute(
            f"create temp table n as select range as number, 't' || range as text from range({NUM_ROWS})"
        )
        return {"numbers": "from n order by number", "one": "select 1 as one"}


@pytest.fixture
def making(tmp_path: Path) -> Making:
    return Making(Dataset(str(tmp_path)))


def files(making: Making) -> list[Path]:
    return [Path(path) for path in making.dataset.files("kept")]


def expected(tables: dict[str, pa.Table]) -> bool:
    numbers = tables["numbers"]
    assert numbers.schema.equals(SCHEMAS["numbers"])
    assert numbers["number"].to_pylist() == list(range(NUM_ROWS))
    assert numbers["text"][NUM_ROWS - 1].as_py() == f"t{NUM_ROWS - 1}"
    return tables["one"].to_pydict() == {"one": [1]}


def test_tables_are_made_once_and_mapped_then(making: Making) -> None:
    allocated = pa.total_allocated_bytes()
    for _ in range(3):
        tables = making()
        assert tables["numbers"].nbytes > NUM_ROWS * 8
        assert pa.total_allocated_bytes() - allocated < NUM_ROWS
        assert expected(tables)
    assert making.num_made == 1
    assert [path.name for path in files(making)] == ["k.numbers.arrow", "k.one.arrow"]


def test_another_key_has_tables_of_its_own_and_those_before_are_deleted(making: Making) -> None:
    before = making("first")
    assert expected(making("second"))
    assert making.num_made == 2
    assert [path.name for path in files(making)] == ["second.numbers.arrow", "second.one.arrow"]
    assert expected(before)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "longer", "gone", "foreign"])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_as_it_was_written_is_made_again(making: Making, damage: str, place: int) -> None:
    making()
    path = files(making)[place]
    content = path.read_bytes()
    if damage == "foreign":
        Making(Dataset(f"{making.dataset.location}/other"))("another")
        shutil.copy(Path(making.dataset.location, "other", "kept", "of", path.name.replace("k.", "another.")), path)
    elif damage == "gone":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"flipped": flipped, "cut": content[:-1], "empty": b"", "longer": content + b"\0"}[damage])
    assert expected(making())
    assert making.num_made == 2
    assert path.read_bytes() == content
    assert expected(making())
    assert making.num_made == 2


def test_columns_of_another_version_are_not_read(making: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    making()
    monkeypatch.setitem(SCHEMAS, "one", pa.schema({"one": pa.int64()}))
    assert expected(making())
    assert making.num_made == 2


def test_where_nothing_can_be_written_tables_are_used_as_they_are(
    making: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    said: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda text, *values: said.append(text % values))
    monkeypatch.setattr(os, "replace", refuse)
    assert expected(making())
    assert files(making) == []
    assert "read-only" in " ".join(said)
