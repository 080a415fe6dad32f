"""Clusters of embeddings, and pairs of close ones within them (SemDeDup, Abbas et al. 2023).

Spherical k-means with about sqrt(n) clusters: assigning n vectors and comparing within clusters both cost n^1.5. The
border of two clusters may divide a pair, so each vector is also compared in its second nearest cluster. A few new
vectors are compared with all, which costs less and finds all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ITERATIONS = 12
SAMPLES_PER_CLUSTER = 64
"""Vectors on which each centre is fitted, at most: more change it little."""
BLOCK_ROWS = 4096
"""Rows of the similarity matrix that exist at a time."""
NEW_ROWS = 1024
"""New vectors that are compared with all at a time."""
MAX_SHARE = 8
"""A cluster of more than this many times the mean size is split in two, and its halves likewise."""
MAX_COMPARED = 2048
"""Number of vectors before it with which each vector of a cluster is compared, at most. The vectors of a cluster that
cannot be split are equal, and so are connected as a chain. A vector that is compared with all is paired with the first
so many that are close."""
FEW = 4
"""New vectors, in multiples of sqrt(n), that are compared with all rather than within clusters, where each vector meets
as many centres and three clusters of about as many."""
Pairs = tuple[np.ndarray, np.ndarray]
"""Numbers i < j of close vectors, (P, 2) int64, and their cosines, (P,) float32."""


def cluster_embeddings(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Cluster number of each vector, (N,) int32; the same for the same vectors and seed.

    Args:
        vectors: (N, D) float, of length one.
    """
    vectors = np.asarray(vectors, np.float32)
    if len(vectors) == 0:
        return np.empty(0, np.int32)
    centres = _fit(vectors, max(round(len(vectors) ** 0.5), 1), np.random.default_rng(seed))
    labels = _nearest(vectors, centres)[:, 0]
    return _split_large(vectors, labels, seed)


def close_pairs(vectors: np.ndarray, num_new: int, min_cosine: float, seed: int) -> Iterator[Pairs]:
    """Pairs of which at least one is new and whose cosine is at least `min_cosine`, some at a time; each may come
    several times.

    Args:
        vectors: (N, D) float32, of length one; may lie on disk. The first `num_new` are new.
    """
    if num_new <= FEW * len(vectors) ** 0.5:
        yield from _pairs_with_all(vectors, num_new, min_cosine)
    else:
        yield from _pairs_in_clusters(vectors, cluster_embeddings(vectors, seed), num_new, min_cosine)


def _pairs_with_all(vectors: np.ndarray, num_new: int, min_cosine: float) -> Iterator[Pairs]:
    for start in range(0, num_new, NEW_ROWS):
        new = np.arange(start, min(start + NEW_ROWS, num_new))
        num_paired = np.zeros(len(new), np.int64)
        for first in range(start, len(vectors), BLOCK_ROWS):
            block = vectors[first : first + BLOCK_ROWS]
            cosines = vectors[new] @ block.T
            are_close = (cosines >= min_cosine) & (np.arange(first, first + len(block)) > new[:, None])
            are_close &= are_close.cumsum(axis=1) + num_paired[:, None] <= MAX_COMPARED
            num_paired += are_close.sum(axis=1)
            rows, columns = np.nonzero(are_close)
            yield np.stack([new[rows], first + columns], axis=1), np.minimum(cosines[rows, columns], 1)


def _pairs_in_clusters(vectors: np.ndarray, labels: np.ndarray, num_new: int, min_cosine: float) -> Iterator[Pairs]:
    centres = np.stack([_unit(vectors[labels == label].sum(axis=0)) for label in range(int(labels.max()) + 1)])
    second = _nearest(vectors, centres)[:, -2:]
    visits = np.concatenate([labels[:, None], second], axis=1)
    order = np.argsort(visits, axis=None, kind="stable")
    clusters, members = visits.ravel()[order], order // visits.shape[1]
    bounds = np.flatnonzero(np.diff(clusters)) + 1
    for group in np.split(members, bounds):
        yield from _pairs_within(np.unique(group), vectors, num_new, min_cosine)


def _pairs_within(group: np.ndarray, vectors: np.ndarray, num_new: int, min_cosine: float) -> Iterator[Pairs]:
    """Pairs of a group of numbers, in order."""
    if group[0] >= num_new:
        return
    for start in range(0, len(group), MAX_COMPARED):
        later = group[start : start + MAX_COMPARED]
        earlier = group[max(start - MAX_COMPARED, 0) : start + len(later)]
        cosines = vectors[later] @ vectors[earlier].T
        are_wanted = (earlier < later[:, None]) & (earlier < num_new)
        rows, columns = np.nonzero((cosines >= min_cosine) & are_wanted)
        yield np.stack([earlier[columns], later[rows]], axis=1), np.minimum(cosines[rows, columns], 1)


def _fit(vectors: np.ndarray, num_clusters: int, random: np.random.Generator) -> np.ndarray:
    """Centres of length one, (K, D); a centre that loses all its vectors stays where it was."""
    sample = random.permutation(len(vectors))[: num_clusters * SAMPLES_PER_CLUSTER]
    vectors = vectors[sample]
    centres = vectors[:num_clusters].copy()
    for _ in range(ITERATIONS):
        labels = _nearest(vectors, centres)[:, 0]
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, vectors)
        moved = np.bincount(labels, minlength=len(centres)) > 0
        centres[moved] = _unit(sums[moved])
    return centres


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The two nearest centres of each vector, nearest first, (N, 2) int32; one column where there is one centre."""
    if len(centres) == 1:
        return np.zeros((len(vectors), 1), np.int32)
    found = np.empty((len(vectors), 2), np.int32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        cosines = vectors[start : start + BLOCK_ROWS] @ centres.T
        rows = np.arange(len(cosines))
        found[start : start + BLOCK_ROWS, 0] = first = cosines.argmax(axis=1)
        cosines[rows, first] = -np.inf
        found[start : start + BLOCK_ROWS, 1] = cosines.argmax(axis=1)
    return found


def _split_large(vectors: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Split clusters in two until none is too large or can be split; new ones get the next numbers."""
    labels = labels.astype(np.int32)
    limit = MAX_SHARE * max(len(vectors) / (labels.max() + 1), 1)
    waiting = [int(label) for label in np.flatnonzero(np.bincount(labels) > limit)]
    following = int(labels.max()) + 1
    while waiting:
        label = waiting.pop()
        members = np.flatnonzero(labels == label)
        halves = _nearest(vectors[members], _fit(vectors[members], 2, np.random.default_rng([seed, label])))[:, 0]
        if not 0 < halves.sum() < len(members):
            continue
        labels[members[halves == 1]] = following
        waiting += [part for part in (label, following) if np.count_nonzero(labels == part) > limit]
        following += 1
    return labels


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
