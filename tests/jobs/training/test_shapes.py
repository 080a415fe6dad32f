"""A mapping over columns is what the dictionary of the same clips would be."""

import pyarrow as pa
import pytest

from jobs.training import shapes as module
from jobs.training.shapes import Shapes, tuples
from pipeline.encode.sorted_keys import SortedKeys

EXPECTED = {f"{number:03}": (8, 1 + number % 3, number, 2) for number in range(20)}


def shapes(chunk: int = 6) -> Shapes:
    rows = list(EXPECTED.items())
    parts = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
    names = pa.chunked_array([pa.array([name for name, _ in part]) for part in parts])
    lists = pa.chunked_array([pa.array([shape for _, shape in part], pa.list_(pa.int32())) for part in parts])
    return Shapes(SortedKeys(names), lists)


@pytest.mark.parametrize("rows", [4, 1000])
def test_shapes_are_those_of_a_dictionary(monkeypatch, rows):
    monkeypatch.setattr(module, "ROWS", rows)
    found = shapes()
    assert list(found) == list(EXPECTED)
    assert list(found.items()) == list(EXPECTED.items())
    assert list(found.values()) == list(EXPECTED.values())
    assert (len(found), len(found.values()), found) == (20, 20, EXPECTED)
    assert found["007"] == EXPECTED["007"]
    assert "007" in found
    assert "7" not in found
    assert ("007", EXPECTED["007"]) in found.items()
    with pytest.raises(KeyError):
        found["7"]


def test_values_are_pythons_own_numbers():
    assert {type(number) for shape in shapes().values() for number in shape} == {int}
    assert list(tuples(pa.chunked_array([], pa.list_(pa.int32())))) == []
