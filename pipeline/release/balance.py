"""Balanced sampling: many clips of one kind count for less.

A clip of a cluster of n has weight 1/sqrt(n) (Movie Gen, Polyak et al. 2024), so that a cluster a hundred times larger
gives ten times the clips. The draw is weighted sampling without replacement by Efraimidis & Spirakis (2006): the clips
with the largest u^(1/w), where u in (0, 1) is a hash of seed and clip. So it depends on nothing but the clips and the
seed, and of two draws with one seed the larger holds the smaller.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.dedup.groups import components

HASH_BYTES = 8
MERGE_COSINE = 0.9
"""Centres of clusters closer than this are of one kind: well below that of duplicates (.98 and up)."""


def balanced_sample(clip_ids: Sequence[str], clusters: Sequence[int], count: int, seed: int) -> set[str]:
    """Draw `count` clips (all, if there are no more) with weights 1/sqrt(size of their cluster).

    Args:
        clusters: (N,) the cluster of each clip.
    """
    sizes = Counter(clusters)
    keys = {
        clip_id: math.log(_uniform(clip_id, seed)) * math.sqrt(sizes[cluster])
        for clip_id, cluster in zip(clip_ids, clusters, strict=True)
    }
    return set(sorted(keys, key=lambda clip_id: (-keys[clip_id], clip_id))[:count])


def merge_alike(labels: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Clusters whose centres lie close together become one.

    k-means divides a dense region into many clusters of a moderate size, which would hide how many clips lie there.

    Args:
        labels: (N,) int, the cluster of each vector.
        vectors: (N, D) of length one.
    Returns:
        (N,) int, numbers of the merged clusters.
    """
    names, own = np.unique(labels, return_inverse=True)
    centres = np.zeros((len(names), vectors.shape[1]))
    np.add.at(centres, own, vectors)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    pairs = np.argwhere(np.triu(centres @ centres.T >= MERGE_COSINE))  # each cluster is close to itself, too
    merged = components((int(first), int(second)) for first, second in pairs)
    return np.array([merged[number] for number in range(len(names))])[own]


def _uniform(clip_id: str, seed: int) -> float:
    """A number in (0, 1) that seed and clip determine."""
    bits = hashlib.blake2b(f"{seed}/{clip_id}".encode(), digest_size=HASH_BYTES).digest()
    return (int.from_bytes(bits, "big") + 0.5) / 256**HASH_BYTES
