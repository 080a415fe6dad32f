"""Keys are found by bisection in a column of several chunks."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.encode import sorted_keys
from pipeline.encode.sorted_keys import SortedKeys

NAMES = [f"{number:03}" for number in range(0, 40, 2)]


def keys(names: list[str], chunk: int = 7) -> SortedKeys:
    parts = [pa.array(names[start : start + chunk], pa.string()) for start in range(0, len(names), chunk)]
    return SortedKeys(pa.chunked_array(parts, pa.string()))


def test_each_key_has_its_row_and_each_row_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_keys, "ROWS", 3)
    found = keys(NAMES)
    assert [found.row(name) for name in NAMES] == list(range(20))
    assert [found[row] for row in range(20)] == list(found) == NAMES
    assert found[2:5] == NAMES[2:5]
    assert len(found) == 20


def test_what_is_no_key_is_not_found() -> None:
    found = keys(NAMES)
    for absent in ("", "001", "039", "zzz", None):
        assert absent not in found
    assert "004" in found
    with pytest.raises(KeyError, match="001"):
        found.row("001")
    assert "004" not in keys([])


def test_keys_of_any_letters_are_in_the_order_of_their_bytes() -> None:
    """As DuckDB sorts them."""
    names = sorted(["a", "Z", "é", "\uffff", "\U0001f600"], key=str.encode)
    assert [keys(names, 2).row(name) for name in names] == list(range(5))
