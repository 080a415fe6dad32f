"""What training reads of a release: sizes of all samples at once, a sample itself when its pack is made.

Packs are made ahead in a thread of their own, so that the network does not wait for the store, and only those few are
in memory, however large the release is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from model.training.examples import Sample

Shape = tuple[int, int, int, int]
T = TypeVar("T")
R = TypeVar("R")
STEPS_AHEAD = 2


class Samples(Protocol):
    """The samples of a release."""

    @property
    def names(self) -> Sequence[str]:
        """Their ids, sorted."""
        ...

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """(C, T, H, W) of the latent of each sample, by id, in the order of `names`."""
        ...

    @property
    def videos(self) -> Iterable[str]:
        """The video that each sample is of, in the order of `names`; may be gone through several times."""
        ...

    def read(self, ids: Sequence[str]) -> list[Sample]:
        """The samples of these ids, in their order."""
        ...


class HeldSamples:
    """Samples that are in memory."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = {sample.sample_id: sample for sample in sorted(samples, key=lambda one: one.sample_id)}
        self.names = list(self._samples)
        self.videos = [sample.video_id or sample.sample_id for sample in self._samples.values()]

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: tuple(sample.latent_CTHW.shape) for name, sample in self._samples.items()}

    def read(self, ids: Sequence[str]) -> list[Sample]:
        return [self._samples[name] for name in ids]


def ahead(items: Iterable[T], make: Callable[[T], R], num_ahead: int = STEPS_AHEAD) -> Iterator[tuple[T, R]]:
    """Each item with what `make` makes of it, which a thread has begun while earlier ones were used.

    Args:
        num_ahead: how many are made, or waiting, beside the one that is used.
    Raises:
        whatever `make` raises, in place of its item.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool = ThreadPoolExecutor(1)
    try:
        for item in items:
            waiting.append((item, pool.submit(make, item)))
            if len(waiting) > num_ahead:
                item, made = waiting.popleft()
                yield item, made.result()
        for item, made in waiting:
            yield item, made.result()
    finally:
        pool.shutdown(cancel_futures=True)
