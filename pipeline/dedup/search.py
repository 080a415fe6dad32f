"""All duplicates among the clips of a data set."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import candidate_pairs
from pipeline.dedup.groups import Pair, group_rows
from pipeline.dedup.hashes import HashedClips
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


def find_duplicates(
    clips: pa.Table, embeddings: pa.Table | None, config: DuplicatesConfig, grouped_us: int
) -> list[dict[str, Any]]:
    """Rows of the `duplicates` table.

    Args:
        clips: columns clip_id, video_id, shot_index, duration_s and those of the fingerprint; a clip whose fingerprint
            is null is in no group.
        embeddings: columns clip_id and embedding (unit vectors) of one encoder; None to leave out the semantic kind.
    """
    grouping = grouping_of(config)
    content = list(content_pairs(clips))
    near = list(near_pairs(HashedClips.of(clips), config))
    matched = {(pair.first, pair.second) for pair in near}
    near += [
        dataclasses.replace(pair, kind=NEAR) for pair in content if (pair.first, pair.second) not in matched
    ]  # equal pictures count as near even where there is nothing to hash
    semantic = [] if embeddings is None else list(_semantic_pairs(embeddings, config))
    return [row for pairs in (content, near, semantic) for row in group_rows(pairs, grouping, grouped_us)]


def content_pairs(clips: pa.Table) -> Iterator[Pair]:
    """Each clip with the first one of the same digest."""
    by_digest: dict[str, list[str]] = defaultdict(list)
    for clip_id, value in zip(clips["clip_id"].to_pylist(), clips["content_digest"].to_pylist(), strict=True):
        if value is not None:
            by_digest[value].append(clip_id)
    for same in by_digest.values():
        first, *others = sorted(same)
        yield from (Pair(first, other, CONTENT, 1.0) for other in others)


def near_pairs(clips: HashedClips, config: DuplicatesConfig) -> Iterator[Pair]:
    """Pairs of edited copies, in order."""
    for first, second in candidate_pairs(clips):
        found = match(clips, int(first), int(second), config)
        if found:
            ids = clips.ids[first], clips.ids[second]
            yield Pair(*ids, NEAR, 1.0 - found.distance, found.mirrored, found.rate)


def _semantic_pairs(embeddings: pa.Table, config: DuplicatesConfig) -> Iterator[Pair]:
    embeddings = embeddings.sort_by("clip_id")
    ids = embeddings["clip_id"].to_pylist()
    vectors = np.stack(embeddings["embedding"].to_pylist()).astype(np.float32) if ids else np.empty((0, 1), np.float32)
    labels = cluster_embeddings(vectors, config.seed)
    seen = sorted(set(semantic_pairs(vectors, labels, config.semantic_cosine)))
    yield from (Pair(ids[first], ids[second], SEMANTIC, cosine) for first, second, cosine in seen)
