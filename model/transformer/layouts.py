"""Attention layouts: token coordinates to groups. Tokens attend to each other if they are in one group.

Joint, factorised and windowed attention differ in nothing but the columns of the coordinates that name a group, and a
document is always one of them, so that the documents of a pack never see each other. Groups of equal length become one
batch of dense attention, which runs wherever PyTorch does.

Shapes: N tokens, G groups in a bucket, L queries and K keys in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Layout = Callable[[np.ndarray], np.ndarray]
"""(N, 4) int64 coordinates (document, t, y, x) to (N, k) group names, one a row."""


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
    """Boxes of `size_thw` tokens, side by side."""
    return coordinates_N4 // np.array([1, *size_thw])


def shifted_window(coordinates_N4: np.ndarray, size_thw: tuple[int, int, int] = (4, 8, 8)) -> np.ndarray:
    """Windows moved by half their size, so that neighbours meet in alternate layers (Swin, Liu et al. 2021)."""
    return window(coordinates_N4 + np.array([0, *(s // 2 for s in size_thw)]), size_thw)


LAYOUTS: dict[str, Layout] = {
    "joint": joint,
    "spatial": spatial,
    "temporal": temporal,
    "window": window,
    "shifted_window": shifted_window,
}


@dataclass(frozen=True)
class Bucket:
    """Groups of one length: row g of `queries_GL` attends to row g of `keys_GK`. Both hold token indices."""

    queries_GL: np.ndarray
    keys_GK: np.ndarray


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


def split_groups(groups_Nk: np.ndarray) -> list[np.ndarray]:
    """The token indices of each group, in order of first appearance of the group."""
    _, first, inverse, counts = np.unique(groups_Nk, axis=0, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    members = np.split(order, np.cumsum(counts)[:-1])
    return [members[g] for g in np.argsort(first)]
