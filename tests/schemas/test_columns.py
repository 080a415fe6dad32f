"""Tables encode strictly, and every column says what it is, in what unit, down to the Parquet file."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from schemas import CAPTIONS, CLIPS, DECISIONS, LATENTS, TABLES
from schemas.columns import SchemaError, Table, arrow_fields
from schemas.tables.measures import STREAM_MEASURES

CAPTION: dict[str, Any] = dict.fromkeys(CAPTIONS.schema.names) | {
    "clip_id": "c0",
    "captioner": "f0",
    "captioner_name": "builtin",
    "language": "en",
    "num_output_tokens": 9,
    "num_attempts": 1,
    "short": "a ball",
    "detailed": "a red ball rolls",
    "num_words": 4,
    "text_video_similarity": None,
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.folder)
def test_every_column_has_a_meaning_and_names_its_unit(table: Table) -> None:
    assert set(table.key) <= set(table.schema.names)
    for field in table.schema:
        metadata = field.metadata or {}
        assert metadata[b"doc"], field.name
        unit = metadata[b"unit"].decode()
        for ending, expected in (("_us", "us"), ("_s", "s"), ("_deg", "deg"), ("_bytes", "bytes")):
            if field.name.endswith(ending) and not field.name.endswith(("px_s", "per_s")):
                assert unit == expected, field.name


def test_metadata_survives_in_parquet(tmp_path) -> None:
    path = tmp_path / "clips.parquet"
    pyarrow.parquet.write_table(CLIPS.encode([]), path)
    schema = pyarrow.parquet.read_schema(path)
    assert schema.field("motion_px_s").metadata[b"unit"] == b"px/s"
    assert (
        schema.field("start_us").metadata[b"doc"]
        == b"presentation time of the first frame, from the first of the video"
    )
    assert schema.metadata[b"reelmill.table"] == b"clips"


def test_rows_come_back_as_they_were() -> None:
    table = CAPTIONS.encode([CAPTION])
    assert table.to_pylist() == [CAPTION | {"run_id": "", "written_us": 0}]
    (kept,) = CAPTIONS.encode([CAPTION | {"written_us": 3}], run_id="r", written_us=7).to_pylist()
    assert (kept["run_id"], kept["written_us"]) == ("r", 3)
    assert table.schema.equals(CAPTIONS.schema, check_metadata=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shrt": "x"}, "shrt"),
        ({"clip_id": None}, "clip_id"),
        ({"language": None}, "language"),
        ({"num_words": "four"}, "four"),
        ({"num_words": 2**40}, "num_words|int"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SchemaError, match=named):
        CAPTIONS.encode([CAPTION, CAPTION | change])


def test_a_missing_key_is_refused_even_where_null_is_allowed() -> None:
    row = {name: value for name, value in CAPTION.items() if name != "text_video_similarity"}
    with pytest.raises(SchemaError, match=r"missing columns \['text_video_similarity'\]"):
        CAPTIONS.encode([row])


def test_only_columns_declared_optional_take_null() -> None:
    nullable = {field.name for field in CLIPS.schema if field.nullable}
    scores = {field.name for row_type in STREAM_MEASURES.values() for field in arrow_fields(row_type)}
    assert nullable == scores | {"fps", "duration_s", "transfer", "split", "run_id", "written_us"}


def test_parts_may_lack_a_former_name_as_they_may_lack_that_of_now() -> None:
    schema = DECISIONS.stored_schema
    assert schema.names == [*DECISIONS.schema.names, "gate", "decided_us"]
    assert schema.field("gate").type == DECISIONS.schema.field("rules_fingerprint").type
    assert schema.field("gate").nullable
    assert not DECISIONS.schema.field("rules_fingerprint").nullable


def test_tables_are_known_by_hash_also_those_with_former_names() -> None:
    assert any(table.formerly for table in TABLES)
    assert len({*TABLES, *TABLES}) == len(TABLES)


def test_a_subfolder_keeps_the_table() -> None:
    within = LATENTS.within("abc")
    assert (within.folder, within.name, within.key) == ("latents/abc", "latents", LATENTS.key)
    assert within.schema.equals(LATENTS.schema)
    assert isinstance(LATENTS.schema, pa.Schema)
