"""Captions that are repeated on clips which show something else: a captioner that is stuck, or answers that were mixed.

Parts of one scene, or copies of a clip, rightly have the same caption, so only clips with other embeddings count.
"""

from __future__ import annotations

import numpy as np

from pipeline.caption.identity.fit import unlike

SAMPLE = 1000
"""Of a group with more clips, about as many stand for all: the time grows with the group and not its square."""


def num_unlike(clips: np.ndarray, sample: np.ndarray, num_clips: int, mean: float) -> np.ndarray:
    """For clips of a group with one caption, how many of the others show something else, (N,) int64.

    Args:
        clips: (N, D) unit vectors, of some of the group or all.
        sample: (M, D) those that stand for the group, or all of it.
        num_clips: of the group.
        mean: mean cosine of two clips of the whole set, as `mean_cosine` gives it.
    """
    counts = unlike(clips, sample, mean).sum(axis=1)
    return np.rint(counts * (num_clips / len(sample))).astype(np.int64)
