"""Packs hold every sample once, are not overfull, and are filled by best fit."""

import time

import numpy as np
import pytest

from model.packing.filling import fill_packs


def plain_best_fit(counts: list[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing by looking at every pack."""
    packs: list[list[int]] = []
    for place in sorted(range(len(counts)), key=lambda i: -counts[i]):
        rooms = [(capacity - sum(counts[i] for i in pack), number) for number, pack in enumerate(packs)]
        fitting = [(room, number) for room, number in rooms if room >= counts[place]]
        if not fitting:
            packs.append([place])
        else:
            packs[min(fitting)[1]].append(place)
    return packs


@pytest.mark.parametrize("seed", range(20))
def test_packs_are_those_of_best_fit(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, rng.integers(1, 80))
    assert fill_packs(counts, 40) == plain_best_fit(counts.tolist(), 40)


def test_a_sample_goes_where_the_least_room_is_left():
    packs = fill_packs(np.array([6, 7, 3, 4]), 10)
    assert sorted(sorted(pack) for pack in packs) == [[0, 3], [1, 2]]
    assert fill_packs(np.array([10, 10]), 10) == [[0], [1]]
    assert fill_packs(np.array([5, 5]), 10) == [[0, 1]]
    assert fill_packs(np.empty(0, np.int64), 10) == []


def test_a_hundred_thousand_samples_take_seconds():
    """A search through all packs would take minutes."""
    counts = np.random.default_rng(0).integers(30, 1000, 100_000)
    start_s = time.process_time()
    packs = fill_packs(counts, 1024)
    assert time.process_time() - start_s < 10
    assert counts.sum() / (1024 * len(packs)) > 0.99
