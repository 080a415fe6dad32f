"""Arrays are found by their keys, read one by one, and held against what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.encode import arrays
from pipeline.encode.arrays import StoredArrays
from pipeline.encode.places import CorruptArray
from pipeline.store.dataset import ARRAYS_A_GROUP, Dataset
from schemas import LATENTS, TEXT
from schemas.identity import bytes_digest

NUM_TEXTS = 20


def array(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(number % 4 + 1, 300)).astype(np.float16)


def row(name: str, values: np.ndarray, encoder: str = "e", **changes: Any) -> dict[str, Any]:
    data = values.tobytes()
    known = {"text_id": name, "encoder": encoder, "text": name, "dtype": "float16", "shape": list(values.shape)}
    return known | {"data": data, "data_hash": bytes_digest(data)} | changes


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two parts, of several row groups each."""
    dataset = Dataset(str(tmp_path))
    for numbers in (range(0, NUM_TEXTS, 2), range(1, NUM_TEXTS, 2)):
        dataset.write_part(TEXT, [row(f"{number:02}", array(number)) for number in numbers])
    return dataset


def stored(dataset: Dataset, names: list[str], **options: Any) -> StoredArrays:
    return StoredArrays.of_table(dataset, TEXT, pa.table({"text_id": pa.array(names, pa.string())}), **options)


def test_arrays_are_read_in_the_order_asked_for_from_whichever_file(dataset: Dataset) -> None:
    names = [f"{number:02}" for number in range(NUM_TEXTS)]
    found = stored(dataset, names)
    assert found.index["text_id"].to_pylist() == names
    for asked in (names[::-1], ["07", "07", "00"], []):
        for name, values in zip(asked, found.read(asked), strict=True):
            assert np.array_equal(values, array(int(name)))
            values[:] = 0  # a copy: the next reader gets what is stored


def test_an_array_is_read_from_its_place_and_a_file_is_opened_once(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = Dataset.open_file
    monkeypatch.setattr(Dataset, "open_file", lambda self, path: opened.append(path) or real(self, path))
    monkeypatch.setattr(StoredArrays, "_value", None)
    names = [f"{number:02}" for number in range(NUM_TEXTS)]
    found = stored(dataset, names)
    assert sorted(opened) == dataset.part_files("text")
    opened.clear()
    for name in names:
        assert np.array_equal(found.read([name])[0], array(int(name)))
    assert sorted(opened) == dataset.part_files("text")
    monkeypatch.setattr(arrays, "MAX_OPEN_FILES", 1)
    found = stored(dataset, names)
    opened.clear()
    for _ in range(3):
        assert np.array_equal(found.read(["00", "01"])[1], array(1))
    assert len(opened) == 6


def test_rows_without_an_array_take_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Dataset(str(tmp_path))
    row_of = {name: dict.fromkeys(LATENTS.schema.names) for name in "abc"}
    for name, facts in row_of.items():
        facts |= {"clip_id": name, "transform": "t", "encoder": "e", "status": "failed"}
    for name in "ac":
        stored_array = row(name, array(ord(name)))
        row_of[name] |= {key: stored_array[key] for key in ("dtype", "shape", "data", "data_hash")} | {"status": "ok"}
    dataset.write_part(LATENTS, list(row_of.values()))
    monkeypatch.setattr(StoredArrays, "_value", None)
    found = StoredArrays.of_table(dataset, LATENTS, pa.table({"clip_id": ["a", "b", "c"]}), ["status"], "status = 'ok'")
    for name, values in zip("ac", found.read(["a", "c"]), strict=True):
        assert np.array_equal(values, array(ord(name)))


def test_files_that_are_laid_out_otherwise_are_read_by_parquet(dataset: Dataset) -> None:
    dataset.write_part(TEXT, [row("zeros", np.zeros((500, 300), np.float16))])
    for path in dataset.part_files("text"):
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(path), path, compression="zstd")
    names = [f"{number:02}" for number in range(NUM_TEXTS)]
    for name, values in zip(names, stored(dataset, names).read(names), strict=True):
        assert np.array_equal(values, array(int(name)))
    assert not stored(dataset, ["zeros"]).read(["zeros"])[0].any()


def test_only_what_is_wanted_is_found(dataset: Dataset) -> None:
    found = stored(dataset, ["03", "nowhere"], columns=["text"])
    assert found.index["text"].to_pylist() == ["03"]
    assert "03" in found
    assert "04" not in found
    with pytest.raises(KeyError):
        found.read(["04"])
    assert stored(dataset, ["03"], columns=["text"], where="text <> '03'").index.num_rows == 0
    pairs = pa.table({"text_id": ["03", "04"], "encoder": ["e", "another"]})
    assert StoredArrays.of_table(dataset, TEXT, pairs).index["text_id"].to_pylist() == ["03"]


def test_without_parts_there_is_nothing(tmp_path: Path) -> None:
    assert stored(Dataset(str(tmp_path)), ["03"]).index.num_rows == 0


def test_the_newest_of_a_key_counts(dataset: Dataset) -> None:
    dataset.write_part(TEXT, [row("03", array(99))])
    (values,) = stored(dataset, ["03"]).read(["03"])
    assert np.array_equal(values, array(99))


def test_what_was_written_without_a_hash_is_read(dataset: Dataset) -> None:
    dataset.write_part(TEXT, [row("old", array(5), data_hash=None)])
    assert np.array_equal(stored(dataset, ["old"]).read(["old"])[0], array(5))


def test_a_flipped_byte_is_told_with_its_place(dataset: Dataset) -> None:
    found = stored(dataset, ["02", "04"])
    path = Path(dataset.part_files("text")[found.index["file"].to_pylist()[0]])
    content = bytearray(path.read_bytes())
    content[content.index(array(2).tobytes()) + 10] ^= 1
    path.write_bytes(content)
    found = stored(dataset, ["02", "04"])
    with pytest.raises(CorruptArray, match=rf"^02: .*{path.name}, row group 0, row 1: bytes differ$"):
        found.read(["02"])
    assert np.array_equal(found.read(["04"])[0], array(4))
    assert found.corrupt() == ["02"]
    dataset.write_part(TEXT, [row("02", array(2))])
    assert stored(dataset, ["02", "04"]).corrupt() == []


def test_what_cannot_be_read_at_all_is_told_in_one_line(dataset: Dataset) -> None:
    found = stored(dataset, ["02"])
    path = Path(dataset.part_files("text")[found.index["file"].to_pylist()[0]])
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(CorruptArray, match=r"^02: .*, row group 0: .+$") as told:
        found.read(["02"])
    assert "\n" not in str(told.value)
    assert found.corrupt() == ["02"]


def test_a_store_that_does_not_answer_damages_nothing(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stored(dataset, ["02"])

    def unreachable(self: Dataset, path: str) -> None:
        raise ConnectionError("no answer")

    monkeypatch.setattr(Dataset, "open_file", unreachable)
    with pytest.raises(ConnectionError):
        found.corrupt()


def test_a_row_group_has_few_arrays(dataset: Dataset) -> None:
    for path in dataset.part_files("text"):
        with pyarrow.parquet.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert sizes == [ARRAYS_A_GROUP, NUM_TEXTS // 2 - ARRAYS_A_GROUP]


def test_damage_anywhere_in_a_file_is_told_in_one_line_or_costs_rows_only(dataset: Dataset) -> None:
    """A byte is flipped at many places of a file, its index columns and footer among them."""
    (path, *_) = map(Path, dataset.part_files("text"))
    whole = path.read_bytes()
    names = [f"{number:02}" for number in range(NUM_TEXTS)]
    told = []
    for place in (*range(3, len(whole), len(whole) // 20), *range(len(whole) - 2000, len(whole), 70)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            stored(dataset, names).corrupt()
        except CorruptArray as error:
            told.append(str(error))
    assert told
    assert all(line.startswith(f"{path} cannot be read: ") and "\n" not in line for line in told)
    for kept in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(CorruptArray, match=f"^{path} cannot be read: "):
            stored(dataset, names)


def test_a_row_whose_shape_is_not_that_of_its_bytes_is_told(dataset: Dataset) -> None:
    dataset.write_part(TEXT, [row("odd", array(3), shape=[7, 300])])
    found = stored(dataset, ["odd", "04"])
    with pytest.raises(CorruptArray, match=r"^odd: .*, row group 0, row 0: 2400 bytes are not float16 \[7, 300\]$"):
        found.read(["odd"])
    assert found.corrupt() == ["odd"]
    assert np.array_equal(found.read(["04"])[0], array(4))


@pytest.mark.parametrize("changes", [{"shape": [-1, 300]}, {"dtype": "float61"}, {"shape": [1 << 30, 300]}])
def test_what_no_array_can_have_is_told_with_the_file(dataset: Dataset, changes: dict[str, Any]) -> None:
    dataset.write_part(TEXT, [row("odd", array(3), **changes)])
    with pytest.raises(CorruptArray, match=r"^.*/part-\w+\.parquet cannot be read: .+$"):
        stored(dataset, ["04"])
