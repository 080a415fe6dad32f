"""Balanced sampling: a clip has less weight the more clips of its kind there are.

A clip of a cluster of n has weight 1/sqrt(n) (Movie Gen, Polyak et al. 2024), so that a cluster a hundred times larger
gives ten times the clips. Sampling is weighted and without replacement, by Efraimidis & Spirakis (2006): the clips with
the largest u^(1/w), where u in (0, 1) is a hash of seed and clip. So a sample depends only on the clips and the seed,
and of two samples with the same seed the larger contains the smaller.
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
"""Clusters whose centres are closer than this are one kind: well below the cosine of duplicates (.98 and up)."""


def balanced_sample(clip_ids: Sequence[str], clusters: Sequence[int], count: int, seed: int) -> set[str]:
    """Sample `count` clips (all of them, if there are no more) with weights 1/sqrt(size of their cluster).

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
    """Merge clusters whose centres are close.

    k-means divides a dense region into many clusters of moderate size, which would hide how many clips are in it.

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
    pairs = np.argwhere(np.triu(centres @ centres.T >= MERGE_COSINE))  # each cluster is close to itself too
    merged = components((int(first), int(second)) for first, second in pairs)
    return np.array([merged[number] for number in range(len(names))])[own]


def _uniform(clip_id: str, seed: int) -> float:
    """A number in (0, 1) determined by seed and clip."""
    bits = hashlib.blake2b(f"{seed}/{clip_id}".encode(), digest_size=HASH_BYTES).digest()
    return (int.from_bytes(bits, "big") + 0.5) / 256**HASH_BYTES
