"""The `duplicates` table: which clips show the same, as groups, with the evidence for each member."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import Table, column

CONTENT, NEAR, SEMANTIC = "content", "near", "semantic"
DUPLICATE_KINDS = (CONTENT, NEAR, SEMANTIC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """A clip's place in a group of clips that hang together by one kind of sameness."""

    clip_id: str = column(pa.string(), "the clip")
    kind: str = column(
        pa.string(), "'content' (equal decoded pictures), 'near' (edited copies) or 'semantic' (close embeddings)"
    )
    group_id: str = column(pa.string(), "least clip_id of the group: clips connected by matches, directly or not")
    group_size: int = column(pa.int32(), "clips in the group; 0 in the one row of a grouping without groups")
    match_id: str = column(pa.string(), "the member most like this clip")
    similarity: float = column(
        pa.float64(), "to that member, 1 for equal: 1 less the distance of frames, or the cosine of embeddings"
    )
    mirrored: bool = column(pa.bool_(), "that member shows it mirrored")
    rate: float | None = column(pa.float64(), "speed of the member's time against this clip's; null unless 'near'")
    grouping: str = column(pa.string(), "fingerprint of the settings and code that made the groups")
    grouped_us: int = column(pa.int64(), "when the groups were made, Unix time; the latest stand", unit="us")


DUPLICATES = Table(Duplicate, "duplicates", key=("clip_id", "kind", "grouping", "grouped_us"))
