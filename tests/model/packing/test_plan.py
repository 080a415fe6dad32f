"""Plans are full and complete; steps are whole and even, and go on from any place."""

from functools import partial
from itertools import groupby, islice

import numpy as np
import pytest

from model.packing import plan
from model.packing.cost import document_costs
from model.packing.plan import Plan, PlannedStep
from schemas.identity import digest

CAPACITY = 2048
COSTS_OF = partial(document_costs, width=64, depth=2)


def native_sizes(num: int, seed: int = 0) -> dict[str, int]:
    """Clips of a few aspect ratios and of log-normal durations, and images."""
    rng = np.random.default_rng(seed)
    frames = np.where(rng.random(num) < 0.15, 1, np.clip(rng.lognormal(2, 0.6, num), 2, 20)).astype(int)
    return {f"clip-{i:05d}": int(n) for i, n in enumerate(frames * rng.choice([24, 32, 40, 56, 84], num))}


def planned(sizes: dict[str, int], packs_per_step: int, capacity: int = CAPACITY, name: str = "release") -> Plan:
    names, counts = sorted(sizes), np.array([sizes[one] for one in sorted(sizes)], np.int64)
    return Plan(names, counts, capacity, packs_per_step, COSTS_OF, lambda epoch: digest(name, epoch))


def epochs(steps: list[PlannedStep]) -> dict[int, list[tuple[str, ...]]]:
    """Packs of each epoch, in the order of their use."""
    packs = [pack for step in steps for pack in step.packs]
    return {epoch: [pack.ids for pack in group] for epoch, group in groupby(packs, key=lambda pack: pack.epoch)}


def first_epochs(of: Plan, num: int) -> list[PlannedStep]:
    """Steps up to the one in which epoch `num` begins."""
    steps = []
    for step in of.steps():
        steps.append(step)
        if step.epoch >= num:
            return steps
    raise AssertionError


def step_costs(sizes: dict[str, int], steps: list[PlannedStep]) -> np.ndarray:
    """(steps, packs)."""
    return np.array([[COSTS_OF([sizes[i] for i in pack.ids]).sum() for pack in step.packs] for step in steps])


@pytest.fixture
def short_runs(monkeypatch):
    monkeypatch.setattr(plan, "SAMPLES_IN_RUN", 100)
    monkeypatch.setattr(plan, "STEPS_IN_RUN", 4)


@pytest.mark.parametrize("num_samples", [1, 2, 5, 30, 97, 1500])
@pytest.mark.parametrize("packs_per_step", [1, 3, 8])
def test_steps_are_whole_and_every_epoch_has_every_sample_once(short_runs, num_samples, packs_per_step):
    sizes = native_sizes(num_samples)
    steps = first_epochs(planned(sizes, packs_per_step), 3)
    assert {len(step.packs) for step in steps} == {packs_per_step}
    found = epochs(steps)
    assert list(found)[:3] == [0, 1, 2]
    for epoch in range(3):
        assert sorted(i for pack in found[epoch] for i in pack) == sorted(sizes)
    assert max(sum(sizes[i] for i in pack) for packs in found.values() for pack in packs) <= CAPACITY


@pytest.mark.parametrize("num_samples", [1, 7, 40, 700])
@pytest.mark.parametrize("packs_per_step", [1, 3, 8])
def test_steps_go_on_from_wherever_one_ends(short_runs, num_samples, packs_per_step):
    steps = list(islice(planned(native_sizes(num_samples), packs_per_step).steps(), 60))
    for done in range(1, 60):
        last = steps[done - 1]
        rest = planned(native_sizes(num_samples), packs_per_step).steps(last.epoch, last.cursor)
        assert list(islice(rest, 60 - done)) == steps[done:]


def test_an_epoch_with_a_remainder_is_completed_by_the_next():
    """Five packs an epoch, two a step: the third step has one pack of each epoch."""
    steps = list(islice(planned(dict.fromkeys("abcde", 10), 2, capacity=10).steps(), 5))
    assert [[pack.epoch for pack in step.packs] for step in steps] == [[0, 0], [0, 0], [0, 1], [1, 1], [1, 1]]
    assert [(step.epoch, step.cursor) for step in steps] == [(0, 2), (0, 4), (1, 1), (1, 3), (1, 5)]


def test_a_release_smaller_than_a_step_is_in_it_several_times():
    steps = list(islice(planned({"a": 10}, 4, capacity=10).steps(), 2))
    assert [[pack.epoch for pack in step.packs] for step in steps] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert all(pack.ids == ("a",) for step in steps for pack in step.packs)


def test_packs_are_full_and_what_a_run_leaves_is_packed_in_the_next(short_runs):
    sizes = native_sizes(20_000)
    of = planned(sizes, 8)
    packs = epochs(first_epochs(of, 1))[0]
    fill = np.array([sum(sizes[i] for i in pack) for pack in packs]) / CAPACITY
    assert fill.mean() > 0.99
    assert (fill < 0.9).sum() < of._num_runs() / 4


@pytest.mark.parametrize(("packs_per_step", "num_samples"), [(8, 20_000), (64, 60_000)])
def test_packs_of_a_step_cost_alike(packs_per_step, num_samples):
    sizes = native_sizes(num_samples)
    steps = first_epochs(planned(sizes, packs_per_step), 1)
    costs = step_costs(sizes, steps)
    assert costs.std() / costs.mean() > 0.1
    assert costs.max(axis=1).sum() / costs.mean(axis=1).sum() < 1.02


@pytest.mark.parametrize("packs_per_step", [8, 64])
def test_steps_that_two_epochs_share_are_of_middling_packs(packs_per_step):
    """Where both have packs that cost the same."""
    sizes = native_sizes(20_000)
    steps = first_epochs(planned(sizes, packs_per_step), 4)
    costs = step_costs(sizes, steps)
    shared = [costs[i] for i, step in enumerate(steps) if len({pack.epoch for pack in step.packs}) > 1]
    assert len(shared) > 2
    for of_step in shared:
        assert of_step.max() / of_step.mean() < 1.02
        assert 0.4 < (costs < of_step.mean()).mean() < 0.6


def test_costs_of_consecutive_steps_are_uncorrelated():
    sizes = native_sizes(40_000)
    costs = step_costs(sizes, first_epochs(planned(sizes, 8), 1)).mean(axis=1)
    assert len(costs) > 400
    assert costs.std() / costs.mean() > 0.1
    assert abs(np.corrcoef(costs[:-1], costs[1:])[0, 1]) < 0.15


def test_the_plan_is_a_function_of_sizes_and_key():
    sizes = native_sizes(300)
    first = list(islice(planned(sizes, 2).steps(), 20))
    assert list(islice(planned(dict(reversed(sizes.items())), 2).steps(), 20)) == first
    assert list(islice(planned(sizes, 2, name="other").steps(), 20)) != first


def test_samples_of_equal_size_meet_others_in_every_epoch():
    packs = epochs(first_epochs(planned(dict.fromkeys("abcdefghijkl", 10), 1, capacity=40), 10))
    assert len({frozenset(map(frozenset, packs[epoch])) for epoch in range(10)}) == 10


def test_an_epoch_starts_with_any_step():
    of = planned({f"clip-{n}": 10 * n for n in range(4, 10)}, 1, capacity=90)
    packs = epochs(first_epochs(of, 40))
    assert len({frozenset(packs[epoch][0]) for epoch in range(40)}) == len(packs[0])


def test_only_the_runs_that_are_asked_for_are_planned(short_runs, monkeypatch):
    filled = []

    def fill_packs(counts: np.ndarray, capacity: int) -> list[list[int]]:
        filled.append(len(counts))
        return plan_fill(counts, capacity)

    plan_fill = plan.fill_packs
    monkeypatch.setattr(plan, "fill_packs", fill_packs)
    steps = planned(native_sizes(5000), 2).steps()
    assert filled == []
    next(steps)
    assert len(filled) == 1
    assert filled[0] <= 110


def test_shuffles_are_the_same_everywhere():
    assert plan.shuffled(10, np.random.PCG64(1)).tolist() == [9, 2, 4, 7, 5, 0, 8, 6, 3, 1]


def test_what_cannot_be_planned_is_named():
    assert next(planned({"clip-a": 64}, 1, capacity=64).steps()).packs[0].ids == ("clip-a",)
    with pytest.raises(ValueError, match="clip-a has 65 tokens, more than the 64"):
        planned({"clip-a": 65, "clip-b": 3}, 1, capacity=64)
    with pytest.raises(ValueError, match="no samples"):
        planned({}, 1)


def test_the_costliest_pack_is_one_of_the_first_and_none_of_them_costs_more():
    of = planned(native_sizes(3000), 4)
    first = of.first_packs(40)
    costs = [int(of.costs[pack].sum()) for pack in first]
    assert first == [pack for _, pack in zip(range(40), of.packs(0, 0), strict=False)]
    assert int(of.costs[of.costliest(40)].sum()) == max(costs) > min(costs)
