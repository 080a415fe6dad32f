"""Pairs of clips that show the same, by equal pictures and by frames, and what makes groups of all pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import CandidateSearch
from pipeline.dedup.hashes import HashedClips
from pipeline.dedup.matching import match
from schemas.identity import digest
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import CONTENT, NEAR, SEMANTIC

VERSION = 2


@dataclass(frozen=True)
class Pair:
    """Two clips that are duplicates of some kind, and how similar they are."""

    first: str
    second: str
    similarity: float
    mirrored: bool = False
    rate: float | None = None

    def reversed(self) -> Pair:
        rate = None if self.rate is None else 1 / self.rate
        return dataclasses.replace(self, first=self.second, second=self.first, rate=rate)


CONTENT_PAIRS = f"""
select '{CONTENT}' as kind, first, clip_id as second, 1.0 as similarity, false as mirrored, null::double as rate
from fingerprinted join (
    select content_digest, min(clip_id) as first from fingerprinted
    where content_digest is not null group by content_digest having count(*) > 1
) using (content_digest)
where clip_id <> first
"""
"""Each clip of the view `fingerprinted` with the first one of the same digest."""
ALL_PAIRS = f"""
with content as ({CONTENT_PAIRS}), near as (
    select least(first, second) as first, greatest(first, second) as second, similarity, mirrored,
           if(first < second, rate, 1 / rate) as rate
    from near_pairs
)
from content
union all by name select '{NEAR}' as kind, * from near
union all by name select * replace ('{NEAR}' as kind) from content anti join near using (first, second)
union all by name select '{SEMANTIC}' as kind, * from semantic_pairs
"""
"""The pairs of each kind, from `fingerprinted`, `near_pairs` and `semantic_pairs`. Equal pictures count as near even
where there is nothing to hash."""


def grouping_of(config: DuplicatesConfig) -> str:
    """Fingerprint of what decides which clips are grouped; which of them is kept is decided later."""
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("keep", "kinds")}
    return digest("duplicates", VERSION, settings)


def pair_table(pairs: Iterable[Pair]) -> pa.Table:
    types = {"first": pa.string(), "second": pa.string(), "similarity": pa.float64(), "mirrored": pa.bool_()}
    schema = pa.schema([*types.items(), ("rate", pa.float64())])
    return pa.Table.from_pylist([dataclasses.asdict(pair) for pair in pairs], schema)


def near_pairs(clips: HashedClips, config: DuplicatesConfig) -> Iterator[Pair]:
    """Pairs of edited copies among clips."""
    with CandidateSearch(len(clips)) as search:
        search.add(np.arange(len(clips)), clips.frame_hashes)
        for pairs in search.likely_pairs():
            yield from matching_pairs(clips, pairs, config)


def matching_pairs(clips: HashedClips, candidates: np.ndarray, config: DuplicatesConfig) -> Iterator[Pair]:
    """Of pairs of places among clips, (P, 2), those that are edited copies; the clip of the smaller id first."""
    for first, second in np.sort(candidates, axis=1).tolist():
        found = match(clips, first, second, config)
        if found:
            yield Pair(clips.ids[first], clips.ids[second], 1.0 - found.distance, found.mirrored, found.rate)
