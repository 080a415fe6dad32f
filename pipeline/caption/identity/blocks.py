"""How captions in the order of writing are divided into blocks that are compared, without dividing batches."""

from __future__ import annotations

import itertools

import numpy as np

Span = tuple[int, int]
"""First place, and the place after the last."""


def block_spans(batches: np.ndarray, size: int) -> list[Span]:
    """Blocks of about equal size that begin where a batch does, unless that batch is as large as a block.

    Args:
        batches: (N,) number of the batch of each caption, not falling.
        size: captions of a block; there are up to half more, or all if they are fewer.
    """
    num_captions = len(batches)
    num_blocks = max(round(num_captions / size), 1)
    edges = [0]
    for number in range(1, num_blocks):
        place = round(number * num_captions / num_blocks)
        start = int(np.searchsorted(batches, batches[place], side="left"))
        edges.append(start if start > edges[-1] else place)
    return list(zip(edges, [*edges[1:], num_captions], strict=True)) if num_captions else []


def batch_spans(batches: np.ndarray) -> list[Span]:
    """Runs of equal numbers."""
    edges = np.flatnonzero(np.diff(batches, prepend=-1, append=-1)).tolist()
    return list(itertools.pairwise(edges))
