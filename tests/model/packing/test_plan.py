"""Plans of packs are full, complete, repeatable, and others every epoch."""

import random
from itertools import pairwise

import pytest

from model.packing import plan
from model.packing.plan import pack_cost, plan_packs


@pytest.fixture(scope="module")
def native_sizes() -> dict[str, int]:
    rng = random.Random(0)
    return {f"clip-{i:05d}": rng.choice([1, 3, 5]) * rng.choice([16, 24, 32, 40]) for i in range(5000)}


@pytest.fixture(scope="module")
def packs(native_sizes) -> list[list[str]]:
    return plan_packs(native_sizes, 1024, "key")


def test_every_sample_is_used_once_and_no_pack_is_overfull(native_sizes, packs):
    assert sorted(i for pack in packs for i in pack) == sorted(native_sizes)
    assert max(sum(native_sizes[i] for i in pack) for pack in packs) <= 1024


def test_packs_are_full(native_sizes, packs):
    assert sum(native_sizes.values()) / (1024 * len(packs)) > 0.99


def test_packs_are_filled_by_first_fit_decreasing():
    packs = plan_packs({"a": 6, "b": 5, "c": 4, "d": 3, "e": 2, "f": 10}, 10, "key")
    assert {frozenset(pack) for pack in packs} == {frozenset("ac"), frozenset("bde"), frozenset("f")}


def test_the_plan_is_a_function_of_counts_and_key(native_sizes, packs):
    assert plan_packs(dict(reversed(native_sizes.items())), 1024, "key") == packs


def test_another_key_brings_others_together_and_starts_elsewhere():
    """Keys differ by epoch: the samples of equal size, whose packing leaves all choice to the shuffle, meet others."""
    alike = {f"clip-{i}": 10 for i in range(12)}
    together = {frozenset(map(frozenset, plan_packs(alike, 40, str(epoch)))) for epoch in range(10)}
    assert len(together) == 10
    unlike = {f"clip-{i}": 10 * (i + 1) for i in range(6)}
    assert {plan_packs(unlike, 60, str(epoch))[0][0] for epoch in range(40)} > {"clip-5", "clip-4"}


def test_packs_are_filled_within_a_buffer_and_in_order_of_cost_from_some_pack_on(native_sizes, monkeypatch):
    monkeypatch.setattr(plan, "BUFFER", 512)
    packs = plan_packs(native_sizes, 1024, "key")
    costs = [pack_cost(native_sizes[i] for i in pack) for pack in packs]
    falls = sum(b < a for a, b in pairwise(costs))
    assert 10 <= falls <= 20  # 5000 samples are ten buffers, each in order but for the pack at which it starts


def test_a_pack_costs_its_tokens_and_their_squares():
    assert pack_cost([1024]) == 1024 + 1024
    assert pack_cost([512, 512]) == 2 * (512 + 256)


def test_a_sample_larger_than_a_pack_is_named():
    assert plan_packs({"clip-a": 64}, 64, "key") == [["clip-a"]]
    with pytest.raises(ValueError, match="clip-a has 65 tokens"):
        plan_packs({"clip-a": 65}, 64, "key")
