"""Which samples go into which pack, and which packs into which step.

Samples of an epoch are shuffled and divided into runs. In a run, packs are filled by best fit (`filling`) and sorted by
cost (`cost`); packs that cost alike make a step, so that its workers finish together; and the steps are shuffled. Every
step has the same number of packs: what is left of a run goes into the next one, and at the end of an epoch, where every
sample must have been seen, the next epoch completes the step.

The plan is a pure function of the token counts and of a key for each epoch, so any worker can work it out; and a
resumed run has to know no more than the epoch in which its next step starts, and how many packs of it are used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.packing.filling import fill_packs

STEPS_IN_RUN = 64
"""Steps over which packs are filled and sorted: the more, the less the packs of a step differ in cost."""
SAMPLES_IN_RUN = 8192
"""A run has at least so many samples: packs of larger runs are hardly fuller."""


@dataclass(frozen=True)
class PlannedPack:
    """Samples that share a pack."""

    epoch: int
    """The epoch that they are seen in, on which their noise, timesteps and texts depend."""
    ids: tuple[str, ...]


@dataclass(frozen=True)
class PlannedStep:
    """Packs of one step, and where the next step starts."""

    packs: list[PlannedPack]
    epoch: int
    cursor: int
    """Packs of `epoch` that are used up."""


class Plan:
    """The steps of a run of training, planned as they are asked for; what is in memory is one run of samples.

    Args:
        ids: of the samples, in an order that is always the same.
        counts: (n,) tokens of each sample.
        capacity: tokens of a pack at most.
        packs_per_step: packs of every step.
        costs_of: cost of documents of so many tokens, in any unit.
        key_of: the key of an epoch, as hexadecimal digits; names release, seed and epoch.
    Raises:
        ValueError: there are no samples, or one alone has more than `capacity` tokens.
    """

    def __init__(
        self,
        ids: Sequence[str],
        counts: np.ndarray,
        capacity: int,
        packs_per_step: int,
        costs_of: Callable[[np.ndarray], np.ndarray],
        key_of: Callable[[int], str],
    ) -> None:
        if not len(ids):
            raise ValueError("there are no samples to plan for")
        self.ids, self.counts = ids, counts
        self.capacity, self.packs_per_step = capacity, packs_per_step
        self.costs, self.key_of = costs_of(self.counts), key_of
        largest = int(self.counts.argmax())
        if self.counts[largest] > capacity:
            raise ValueError(
                f"sample {self.ids[largest]} has {self.counts[largest]} tokens, more than the {capacity} of a pack"
            )

    def steps(self, epoch: int = 0, cursor: int = 0) -> Iterator[PlannedStep]:
        """Steps without end, from where an earlier one says that the next one starts."""
        packs: list[PlannedPack] = []
        missing = cursor % self.packs_per_step  # the epoch began with so many packs for a step of the one before
        while True:
            for used, places in enumerate(self.packs(epoch, missing), 1):
                if used <= cursor:
                    continue
                packs.append(PlannedPack(epoch, tuple(self.ids[i] for i in places)))
                if len(packs) == self.packs_per_step:
                    yield PlannedStep(packs, epoch, used)
                    packs = []
            epoch, cursor, missing = epoch + 1, 0, -len(packs) % self.packs_per_step

    def packs(self, epoch: int, missing: int) -> Iterator[list[int]]:
        """The packs of an epoch as places in `ids`, in the order of their use.

        Args:
            missing: how many packs the last step before this epoch lacks.
        """
        random = np.random.PCG64(int(self.key_of(epoch), 16))
        runs = np.array_split(shuffled(len(self.ids), random), self._num_runs())
        left = np.empty(0, np.int64)
        for number, run in enumerate(runs, 1):
            places = np.concatenate([left, run])
            packs = [places[pack] for pack in fill_packs(self.counts[places], self.capacity)]
            left = np.empty(0, np.int64)
            if number < len(runs):
                packs, left = self._whole_steps(packs, missing)
            for pack in self._in_steps(packs, missing, random):
                yield pack.tolist()
            missing = 0 if packs else missing

    def first_packs(self, number: int) -> list[list[int]]:
        """The first packs of the first epoch, as places in `ids`."""
        return [pack for _, pack in zip(range(number), self.packs(0, 0), strict=False)]

    def costliest(self, among: int) -> list[int]:
        """The costliest of the first packs, as places in `ids`."""
        return max(self.first_packs(among), key=lambda pack: int(self.costs[pack].sum()))

    def _num_runs(self) -> int:
        samples_in_pack = self.capacity / self.counts.mean()
        samples_in_run = max(SAMPLES_IN_RUN, STEPS_IN_RUN * self.packs_per_step * samples_in_pack)
        return max(1, round(len(self.ids) / samples_in_run))

    def _whole_steps(self, packs: list[np.ndarray], missing: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Packs that make whole steps after those that are missing, and the samples of the least full ones, which are
        over."""
        over = min((len(packs) - missing) % self.packs_per_step, len(packs))
        by_fill = [packs[i] for i in np.argsort(-sums(self.counts, packs), kind="stable")]
        kept, left = by_fill[: len(packs) - over], by_fill[len(packs) - over :]
        return kept, np.concatenate([np.empty(0, np.int64), *left])

    def _in_steps(self, packs: list[np.ndarray], missing: int, random: np.random.PCG64) -> Iterator[np.ndarray]:
        """Packs in the order of their use: those of a step cost alike, and steps are shuffled.

        The `missing` ones, and those that are over after whole steps, share a step with packs of another epoch. They
        are taken from the middle by cost, which is about the same in all epochs.
        """
        packs = [packs[i] for i in np.argsort(sums(self.costs, packs), kind="stable")]
        size = self.packs_per_step
        missing = min(missing, len(packs))
        steps, over = divmod(len(packs) - missing, size)
        low = steps // 2 * size
        middle = packs[low : low + missing + over]
        rest = packs[:low] + packs[low + missing + over :]
        yield from middle[:missing]
        for step in shuffled(steps, random):
            yield from rest[step * size : (step + 1) * size]
        yield from middle[missing:]


def sums(values: np.ndarray, packs: list[np.ndarray]) -> np.ndarray:
    """Of each pack, the sum of its places' values, (packs,)."""
    if not packs:
        return np.empty(0, values.dtype)
    starts = np.cumsum([0, *map(len, packs[:-1])])
    return np.add.reduceat(values[np.concatenate(packs)], starts)


def shuffled(num: int, random: np.random.PCG64) -> np.ndarray:
    """The numbers below `num` in random order; of raw bits, which NumPy promises to be the same in all versions."""
    return np.argsort(random.random_raw(num), kind="stable")
