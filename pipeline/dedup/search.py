"""Pairs of clips that show the same, and the groups that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import candidate_pairs
from pipeline.dedup.groups import Pair, group_rows
from pipeline.dedup.hashes import FrameHashes, HashedClips
from pipeline.dedup.matching import match
from pipeline.dedup.semantic import cluster_embeddings, semantic_pairs
from schemas.identity import digest
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import CONTENT, NEAR, SEMANTIC

VERSION = 2


def grouping_of(config: DuplicatesConfig) -> str:
    """Fingerprint of what decides which clips are grouped; which of them is kept is decided later."""
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("keep", "kinds")}
    return digest("duplicates", VERSION, settings)


def duplicate_rows(
    content: Sequence[Pair], near: Sequence[Pair], semantic: Sequence[Pair], grouping: str
) -> list[dict[str, Any]]:
    """Rows of the `duplicates` table for the pairs of each kind."""
    matched = {(pair.first, pair.second) for pair in near}
    # Equal pictures count as near even where there is nothing to hash.
    equal = [dataclasses.replace(pair, kind=NEAR) for pair in content if (pair.first, pair.second) not in matched]
    return [row for pairs in (content, [*near, *equal], semantic) for row in group_rows(pairs, grouping)]


def content_pairs(connection: duckdb.DuckDBPyConnection) -> list[Pair]:
    """Each clip of the view `clips` with the first one of the same digest."""
    rows = connection.execute(
        """
        select first, clip_id from (
            select clip_id, min(clip_id) over (partition by content_digest) as first
            from clips where content_digest is not null
        ) where clip_id <> first order by all
        """
    )
    return [Pair(first, other, CONTENT, 1.0) for first, other in rows.fetchall()]


def near_pairs(
    clips: HashedClips,
    config: DuplicatesConfig,
    known: Iterable[FrameHashes] = (),
    read: Callable[[list[str]], HashedClips] | None = None,
) -> Iterator[Pair]:
    """Pairs of edited copies among new clips, and of new clips with known ones.

    Args:
        read: from ids of clips to all that is stored of their frames; needed where there are known ones.
    """
    candidates = candidate_pairs(clips, known)
    compared, places = clips, list(range(len(clips)))
    if read is not None and len(candidates.ids) > len(clips):
        in_pairs = np.unique(candidates.pairs).tolist()
        compared = read([candidates.ids[place] for place in in_pairs])
        number_of = {clip_id: number for number, clip_id in enumerate(compared.ids)}
        places = [number_of.get(clip_id, -1) for clip_id in candidates.ids]
    for pair in candidates.pairs.tolist():
        first, second = sorted(places[place] for place in pair)
        found = match(compared, first, second, config)
        if found:
            ids = compared.ids[first], compared.ids[second]
            yield Pair(*ids, NEAR, 1.0 - found.distance, found.mirrored, found.rate)


def pairs_by_meaning(embeddings: pa.Table, config: DuplicatesConfig) -> Iterator[Pair]:
    """Pairs of close embeddings.

    Args:
        embeddings: columns clip_id and embedding (unit vectors) of one encoder.
    """
    embeddings = embeddings.sort_by("clip_id")
    ids = embeddings["clip_id"].to_pylist()
    vectors = np.stack(embeddings["embedding"].to_pylist()).astype(np.float32) if ids else np.empty((0, 1), np.float32)
    labels = cluster_embeddings(vectors, config.seed)
    seen = sorted(set(semantic_pairs(vectors, labels, config.semantic_cosine)))
    yield from (Pair(ids[first], ids[second], SEMANTIC, cosine) for first, second, cosine in seen)
