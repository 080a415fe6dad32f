"""Whether captions fit their own clips better than others, among captions and clips of about the same time.

Some texts are similar to every clip and some clips to every text, so the cosine of one pair says little. The fit of a
pair is how far its cosine is above that of the text with other clips, and above that of the clip with other texts, in
standard deviations; the mean of the two. A caption of another clip fits as any pair does: about 0, give or take 1.

What is judged is the margin: the fit of caption and clip, less what both could have elsewhere (the best fit of the
caption to another clip, and of the clip to another caption; their mean). Captions that were exchanged have margins
below -1.2, while a right one with a wrong word loses in its own fit only. Pairs of alike clips are left out, as one may
rightly have the other's caption.

Shapes: N captions and their clips, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_CAPTIONS = 16
"""With fewer, less than 15 others say what is usual."""
ALIKE = 0.75
"""How far between the mean cosine of two clips (0) and equality (1) clips count as alike. Synthetic clips of one scene,
of other sizes, are at .91 or more; of the pairs of two scenes 99% are at .63 or less, 99.9% at .83 or less."""
LEAST_MARGIN = -1.2
"""The margin below which `default.toml` takes a caption for another clip's."""
EVIDENT = 3.0
"""Least distance of the median margin from that, in standard deviations of the margins above the median: with less,
more than 1 right caption in 1,000 would be below it. True captions of synthetic clips are at 11, those of the built-in
captioner at 9, and captions of a model that does not know the clips below 0."""


@dataclass(frozen=True)
class Fits:
    """How captions fit, in their order."""

    own: np.ndarray
    """(N,): fit to their own clips."""
    margin: np.ndarray
    """(N,): the same less the best fits of caption and clip elsewhere."""
    better: np.ndarray
    """(N,) int64: number of the clip that the caption fits best, if better than its own; else -1."""


def fits(texts: np.ndarray, clips: np.ndarray) -> Fits | None:
    """How each caption fits its clip; None if there are too few that differ.

    Args:
        texts, clips: (N, D) unit vectors.
    """
    if len(texts) < LEAST_CAPTIONS:
        return None
    apart = unlike(clips, clips, mean_cosine(clips.sum(axis=0, dtype=np.float64), len(clips)))
    if (apart.sum(axis=1) < LEAST_CAPTIONS - 1).any():
        return None
    cosines = texts @ clips.T
    fit = (_standardised(cosines, apart, axis=1) + _standardised(cosines, apart, axis=0)) / 2
    own, others = fit.diagonal().copy(), np.where(apart, fit, -np.inf)
    of_caption, of_clip = others.max(axis=1), others.max(axis=0)
    better = np.where(of_caption > own, others.argmax(axis=1), -1)
    return Fits(own, own - (of_caption + of_clip) / 2, better)


def are_evident(margin: np.ndarray) -> bool:
    """Whether right captions stand out so far that one which does not is another clip's.

    An embedding model that does not know such clips tells nothing, and a weak one not enough. The spread is taken above
    the median, where captions of other clips are not.

    Args:
        margin: (N,) of all captions.
    """
    median, high = np.quantile(margin, (0.5, 0.84))
    return bool(median - LEAST_MARGIN >= EVIDENT * (high - median))


def mean_cosine(total: np.ndarray, num_clips: int) -> float:
    """Mean cosine of two different clips, from their sum, in time that grows with their number.

    Args:
        total: (D,) sum of their unit vectors.
        num_clips: at least 2.
    """
    return float((total @ total - num_clips) / (num_clips * (num_clips - 1)))


def unlike(clips: np.ndarray, others: np.ndarray, mean: float) -> np.ndarray:
    """Which clips show something else than which others, (N, M) bool.

    Args:
        clips, others: (N, D) and (M, D) unit vectors.
        mean: mean cosine of two clips of the set.
    """
    return clips @ others.T < mean + ALIKE * (1 - mean)


def shift(texts: np.ndarray, clips: np.ndarray) -> float | None:
    """How much better captions fit the next clip, or the one before, than their own: the larger t statistic.

    About 0 where captions are in no order, 10 and more for a batch of 32 that slipped by one, as negative for one that
    did not. None for fewer than `LEAST_CAPTIONS`.

    Args:
        texts, clips: (N, D) unit vectors, in the order in which they were captioned.
    """
    if len(texts) < LEAST_CAPTIONS:
        return None
    own = np.einsum("nd,nd->n", texts, clips)
    after = np.einsum("nd,nd->n", texts[:-1], clips[1:]) - own[:-1]
    before = np.einsum("nd,nd->n", texts[1:], clips[:-1]) - own[1:]
    return max(_t_statistic(after), _t_statistic(before))


def _standardised(values: np.ndarray, counted: np.ndarray, axis: int) -> np.ndarray:
    """Values less the mean of those counted along an axis, over their standard deviation."""
    number = counted.sum(axis=axis, keepdims=True)
    mean = np.where(counted, values, 0).sum(axis=axis, keepdims=True) / number
    variance = np.where(counted, (values - mean) ** 2, 0).sum(axis=axis, keepdims=True) / number
    return (values - mean) / np.sqrt(np.maximum(variance, 1e-12))


def _t_statistic(values: np.ndarray) -> float:
    return float(values.mean() / max(values.std(ddof=1), 1e-6) * np.sqrt(len(values)))
