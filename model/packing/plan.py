"""Which samples of an epoch go into which pack.

The plan is a pure function of the token counts and a key, so any worker can work it out and a resumed run continues it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

BUFFER = 2048
"""Samples over which packs are filled; larger buffers fill little better."""


def plan_packs(token_counts: Mapping[str, int], capacity: int, key: str) -> list[list[str]]:
    """Divide the samples of an epoch into packs of at most `capacity` tokens, each sample once.

    Samples are shuffled; runs of BUFFER are packed by first-fit decreasing; packs are ordered by cost within a
    run, so that workers that take neighbours finish together, and the epoch starts at a place that `key` picks.

    Args:
        token_counts: tokens of each sample, by id.
        key: names release, seed and epoch; the plan is a pure function of these three arguments.
    Raises:
        ValueError: a sample alone has more than `capacity` tokens.
    """
    for sample_id, count in token_counts.items():
        if count > capacity:
            raise ValueError(f"sample {sample_id} has {count} tokens, more than the {capacity} of a pack")
    rng = random.Random(key)
    ids = sorted(token_counts)
    rng.shuffle(ids)
    packs: list[list[str]] = []
    for start in range(0, len(ids), BUFFER):
        run = _first_fit_decreasing(ids[start : start + BUFFER], token_counts, capacity)
        run.sort(key=lambda pack: pack_cost(token_counts[i] for i in pack))
        cut = rng.randrange(len(run))
        packs += run[cut:] + run[:cut]
    return packs


def pack_cost(counts: Iterable[int]) -> int:
    """Work of a pack in arbitrary units: its tokens, and the squares of its documents' lengths for attention."""
    return sum(count + count * count // 1024 for count in counts)


def _first_fit_decreasing(ids: Sequence[str], token_counts: Mapping[str, int], capacity: int) -> list[list[str]]:
    packs: list[list[str]] = []
    room: list[int] = []
    for sample_id in sorted(ids, key=lambda i: -token_counts[i]):
        count = token_counts[sample_id]
        place = next((p for p, free in enumerate(room) if free >= count), None)
        if place is None:
            packs.append([])
            room.append(capacity)
            place = len(packs) - 1
        packs[place].append(sample_id)
        room[place] -= count
    return packs
