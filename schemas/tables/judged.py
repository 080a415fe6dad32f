"""The columns that rules may name: those of a clip, of every measure, and of the groups of duplicates."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import arrow_fields
from schemas.tables.clips import CLIPS
from schemas.tables.measures import CLIP_MEASURES

DUPLICATE_RANK = pa.field(
    "duplicate_rank",
    pa.int32(),
    metadata={"doc": "place among the clips that show the same and pass all other rules, 0 the one kept", "unit": ""},
)

JUDGED = pa.schema(
    [*CLIPS.schema, *(field for row_type in CLIP_MEASURES.values() for field in arrow_fields(row_type)), DUPLICATE_RANK]
)
