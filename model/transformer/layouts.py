"""Attention layouts: token coordinates to groups. Tokens attend to each other if they are in one group.

Joint, factorised and windowed attention differ in nothing but the columns of the coordinates that name a group, and a
document is always one of them, so that the documents of a pack never see each other. Groups of equal length become one
batch of dense attention, which runs wherever PyTorch does. In a neighbourhood every token has a group of its own.

A layout is named; `spatial+temporal` gives half of the heads to each (ViViT's model 4, Arnab et al. 2021), and `frames`
attends over time between the means of frames (its model 2: what a block adds to a mean is added to all its tokens).

Shapes: N tokens, G groups in a bucket, L queries and K keys in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Partition = Callable[[np.ndarray], np.ndarray]
"""(N, 4) int64 coordinates (document, t, y, x) to (N, k) group names, one a row."""
FRAMES = "frames"
NEIGHBOURHOOD = "neighbourhood"
RADIUS_THW = (2, 3, 3)
"""Of a neighbourhood: 5 x 7 x 7 tokens (NUWA, Wu et al. 2022, has extents of this order)."""


def joint(coordinates_N4: np.ndarray) -> np.ndarray:
    """All tokens of a document."""
    return coordinates_N4[:, :1]


def spatial(coordinates_N4: np.ndarray) -> np.ndarray:
    """The tokens of one frame."""
    return coordinates_N4[:, :2]


def temporal(coordinates_N4: np.ndarray) -> np.ndarray:
    """The tokens at one place, over time."""
    return coordinates_N4[:, [0, 2, 3]]


def window(coordinates_N4: np.ndarray, size_thw: tuple[int, int, int] = (4, 8, 8)) -> np.ndarray:
    """Boxes of `size_thw` tokens, side by side (W.A.L.T, Gupta et al. 2024)."""
    return coordinates_N4 // np.array([1, *size_thw])


def shifted_window(coordinates_N4: np.ndarray, size_thw: tuple[int, int, int] = (4, 8, 8)) -> np.ndarray:
    """Windows moved by half their size, so that neighbours meet in alternate layers (Swin, Liu et al. 2021)."""
    return window(coordinates_N4 + np.array([0, *(s // 2 for s in size_thw)]), size_thw)


PARTITIONS: dict[str, Partition] = {
    "joint": joint,
    "spatial": spatial,
    "temporal": temporal,
    "window": window,
    "shifted_window": shifted_window,
}


def is_layout(name: str) -> bool:
    """Whether a layout has this name."""
    return name == FRAMES or all(part in PARTITIONS or part == NEIGHBOURHOOD for part in name.split("+"))


@dataclass(frozen=True)
class Bucket:
    """Groups of one length: row g of `queries_GL` attends to row g of `keys_GK`. Both hold token indices."""

    queries_GL: np.ndarray
    keys_GK: np.ndarray


def buckets_of(layout: str, coordinates_N4: np.ndarray) -> list[Bucket]:
    """The buckets of a layout that is no sum of others."""
    if layout == NEIGHBOURHOOD:
        return neighbourhood_buckets(coordinates_N4)
    return self_attention_buckets(PARTITIONS[layout](coordinates_N4))


def self_attention_buckets(groups_Nk: np.ndarray) -> list[Bucket]:
    """Buckets in which every token attends to its group; a token is a query exactly once."""
    members = split_groups(groups_Nk)
    by_length: dict[int, list[np.ndarray]] = {}
    for member in members:
        by_length.setdefault(len(member), []).append(member)
    return [Bucket(index, index) for index in (np.stack(rows) for rows in by_length.values())]


def cross_attention_buckets(queries: Sequence[np.ndarray], keys: Sequence[np.ndarray]) -> list[Bucket]:
    """Buckets in which the tokens `queries[i]` attend to the tokens `keys[i]`."""
    by_length: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for query, key in zip(queries, keys, strict=True):
        by_length.setdefault((len(query), len(key)), []).append((query, key))
    return [Bucket(np.stack([q for q, _ in rows]), np.stack([k for _, k in rows])) for rows in by_length.values()]


def neighbourhood_buckets(coordinates_N4: np.ndarray, radius_thw: tuple[int, int, int] = RADIUS_THW) -> list[Bucket]:
    """Every token attends to those of its document at most `radius_thw` away on each axis; there are fewer at edges.

    Keys are copied for each query, (2 r + 1)^3 of them, so that the memory is that of so many times the tokens.
    """
    shifted = coordinates_N4 + np.array([0, *radius_thw])
    sizes = shifted.max(axis=0) + 1 + np.array([0, *radius_thw])
    codes_N = np.ravel_multi_index(tuple(shifted.T), tuple(sizes))
    order = np.argsort(codes_N, kind="stable")
    in_order = codes_N[order]
    offsets = np.array(list(product([0], *(range(-r, r + 1) for r in radius_thw))))
    wanted_NK = codes_N[:, None] + (offsets @ _strides(sizes))[None]
    first_NK, end_NK = (np.searchsorted(in_order, wanted_NK, side=side) for side in ("left", "right"))
    at_one_place = int((end_NK - first_NK).max())
    slots_NK = np.concatenate([first_NK + slot for slot in range(at_one_place)], axis=1)
    is_there_NK = slots_NK < np.tile(end_NK, at_one_place)
    counts_N = is_there_NK.sum(axis=1)
    buckets = []
    for count in np.unique(counts_N):
        queries = np.flatnonzero(counts_N == count)
        keys = slots_NK[queries][is_there_NK[queries]].reshape(len(queries), count)
        buckets.append(Bucket(queries[:, None], order[keys]))
    return buckets


def _strides(sizes: np.ndarray) -> np.ndarray:
    return np.append(np.cumprod(sizes[::-1])[::-1][1:], 1)


def split_groups(groups_Nk: np.ndarray) -> list[np.ndarray]:
    """The token indices of each group, in order of first appearance of the group."""
    _, first, inverse, counts = np.unique(groups_Nk, axis=0, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    members = np.split(order, np.cumsum(counts)[:-1])
    return [members[g] for g in np.argsort(first)]
