"""Which samples training never sees, so that validation is of videos that are new to the model."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

from schemas.identity import digest

HELD_OUT_SHARE = 0.1
MAX_SAMPLES = 8
"""Validated on; as many videos, or fewer, are held out."""
CANDIDATES = 64
"""Videos that are looked at, so that large ones can be passed over."""


def held_out_places(videos: Iterable[str]) -> np.ndarray:
    """Places of the samples that are held out, sorted: all of some videos, a tenth of the samples or about MAX_SAMPLES.

    Videos are taken in the order of a hash of their id. One with more than a tenth of all samples is passed over,
    unless all candidates are such; then the one with the fewest is held out. Samples of one video have none to spare.

    Args:
        videos: of each sample, its video; gone through twice, and not kept.
    """
    counts, num_samples = _candidates(videos)
    if len(counts) < 2:
        return np.empty(0, np.int64)
    most = num_samples * HELD_OUT_SHARE
    wanted = min(max(int(most), 1), MAX_SAMPLES)
    chosen: set[str] = set()
    num_chosen = 0
    for video, count in counts.items():
        if num_chosen < wanted and count <= max(most, 1):
            chosen.add(video)
            num_chosen += count
    chosen = chosen or {min(counts, key=lambda video: counts[video])}
    return np.array([place for place, video in enumerate(videos) if video in chosen], np.int64)


def _candidates(videos: Iterable[str]) -> tuple[dict[str, int], int]:
    """Samples of each of the first videos by hash, in that order, and of all videos."""
    first: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    num_samples = 0
    for video in videos:
        num_samples += 1
        if video in counts:
            counts[video] += 1
            continue
        key = digest("hold-out", video)
        if len(first) < CANDIDATES or key < first[-1][0]:
            insort(first, (key, video))
            counts[video] = 1
            for _, last in first[CANDIDATES:]:
                del counts[last]
            del first[CANDIDATES:]
    return {video: counts[video] for _, video in first}, num_samples


class Chosen(Sequence[str]):
    """The names at some places of others, which are not copied."""

    def __init__(self, names: Sequence[str], places: np.ndarray) -> None:
        self._names, self._places = names, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return Chosen(self._names, self._places[place])
        return self._names[int(self._places[place])]
