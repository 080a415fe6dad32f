"""The camera's motion against what captions claim: the same in Python and in SQL."""

from __future__ import annotations

import itertools

import duckdb
import pyarrow as pa

from pipeline.caption.checks.camera_claims import PATTERNS
from schemas.contradiction import OPPOSITE, contradiction_macro, contradicts_camera

LABELS = (None, "still", "roll", "shake", "complex", *OPPOSITE)
NUMBERS = ((None, None), (9.0, 0.9), (3.0, 0.9), (5.0, 0.5), (9.0, 0.4), (None, 0.9))
"""Strength and confidence."""
CLAIMS = [None, [], *([claim] for claim in PATTERNS), *(list(pair) for pair in itertools.combinations(PATTERNS, 2))]


def test_sql_and_python_say_the_same_of_every_claim_and_motion() -> None:
    rows = [
        {"claims": claims, "camera_motion": label, "camera_strength": strength, "camera_confidence": confidence}
        for claims, label, (strength, confidence) in itertools.product(CLAIMS, LABELS, NUMBERS)
    ]
    types = {"claims": pa.list_(pa.string()), "camera_motion": pa.string()}
    types |= {name: pa.float64() for name in ("camera_strength", "camera_confidence")}
    connection = duckdb.connect()
    connection.register("rows", pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))))
    connection.execute(contradiction_macro())
    asked = "contradicts_camera(claims, camera_motion, camera_strength, camera_confidence)"
    found = [value for (value,) in connection.execute(f"select {asked} from rows").fetchall()]
    assert found == [contradicts_camera(row["claims"], row) for row in rows]
    assert min(found.count(value) for value in (0.0, 1.0)) > 300
