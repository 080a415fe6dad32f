"""Which clips show the same: `duplicate_matches`, what was found; `duplicates`, the groups, with evidence."""

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
    group_size: int = column(pa.int32(), "clips in the group; 0 if the clip is in no group any more")
    match_id: str = column(pa.string(), "the member most like this clip")
    similarity: float = column(
        pa.float64(), "to that member, 1 for equal: 1 less the distance of frames, or the cosine of embeddings"
    )
    mirrored: bool = column(pa.bool_(), "that member shows it mirrored")
    rate: float | None = column(pa.float64(), "speed of the member's time against this clip's; null unless 'near'")
    grouping: str = column(pa.string(), "fingerprint of the settings and code that made the groups")


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateMatch:
    """That a clip has been searched for among all that were there, or one that was found: an edited copy of it, or one
    of the same meaning."""

    clip_id: str = column(pa.string(), "the clip that was searched for")
    kind: str = column(pa.string(), "'near' (edited copies) or 'semantic' (close embeddings)")
    match_id: str | None = column(
        pa.string(), "a clip that shows the same; null in the row that says that the clip was searched for"
    )
    similarity: float | None = column(
        pa.float64(), "to that clip: 1 less the distance of frames, or the cosine of embeddings"
    )
    mirrored: bool | None = column(pa.bool_(), "that clip shows it mirrored")
    rate: float | None = column(pa.float64(), "speed of that clip's time against this one's; null unless 'near'")
    grouping: str = column(pa.string(), "fingerprint of the settings and code of the search")
    searched_by: str | None = column(
        pa.string(), "fingerprint of the measure that hashed the clip's frames, or of the model that embedded it"
    )
    frame_hashes: bytes | None = column(
        pa.binary(), "three hashes of 64 bits a frame, by which later clips find it; null in a match and unless 'near'"
    )


DUPLICATES = Table(Duplicate, "duplicates", key=("clip_id", "kind"))
DUPLICATE_MATCHES = Table(
    DuplicateMatch,
    "duplicate_matches",
    key=("clip_id", "kind", "match_id"),
    formerly={"hashed": "searched_by"},
    recovered={"kind": f"'{NEAR}'"},
)
