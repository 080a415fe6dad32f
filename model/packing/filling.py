"""Packs of at most so many tokens from samples of any size: bin packing by best fit (Johnson et al. 1974)."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np


def fill_packs(counts: np.ndarray, capacity: int) -> list[list[int]]:
    """Best-fit decreasing: the samples, the largest first, each into the pack that it leaves the least room in.

    Packs that have room are kept in order of it, so that n samples take O(n log n) comparisons.

    Args:
        counts: (n,) tokens of each sample, between 1 and `capacity`.
    Returns:
        Packs as places in `counts`; each place is in one of them. Samples of equal size are taken in their order.
    """
    packs: list[list[int]] = []
    if not len(counts):
        return packs
    smallest, base = int(counts.min()), len(counts)
    with_room: list[int] = []  # room * base + pack, in ascending order
    order = np.argsort(-counts.astype(np.int64), kind="stable")
    for place, count in zip(order.tolist(), counts[order].tolist(), strict=True):
        found = bisect_left(with_room, count * base)
        if found == len(with_room):
            room, pack = capacity, len(packs)
            packs.append([])
        else:
            room, pack = divmod(with_room.pop(found), base)
        packs[pack].append(place)
        if room - count >= smallest:
            insort(with_room, (room - count) * base + pack)
    return packs
