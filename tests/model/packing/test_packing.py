"""Patches fold back, packs lose nothing, and plans are full, complete and repeatable."""

import random

import pytest
import torch

from model.packing.packing import (
    Document,
    fill_frac,
    num_tokens,
    pack_cost,
    pack_documents,
    packing_order,
    patchify,
    plan_packs,
    unpatchify,
)

PATCH = (1, 2, 2)


def test_unpatchify_undoes_patchify():
    latent = torch.randn(16, 4, 6, 10)
    tokens = patchify(latent, (2, 3, 5))
    assert tokens.shape == (2 * 2 * 2, 16 * 30)
    assert torch.equal(unpatchify(tokens, latent.shape, (2, 3, 5)), latent)


def test_tokens_run_over_time_then_rows_then_columns():
    latent = torch.zeros(1, 2, 4, 4)
    latent[0, 1, 2, 0] = 1.0
    assert patchify(latent, PATCH)[1 * 4 + 1 * 2 + 0].sum() == 1.0


def test_a_latent_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="does not divide"):
        num_tokens((16, 3, 5, 4), PATCH)


def test_pack_holds_every_document_with_its_times_and_clean_frames():
    image = Document(torch.randn(16, 1, 2, 4), torch.tensor([False]), 0.3, 2.0, None)
    clip = Document(torch.randn(16, 3, 4, 4), torch.tensor([True, False, False]), 0.7, 2.0, torch.randn(5, 8))
    pack = pack_documents([image, clip], PATCH, text_dim=8)
    assert pack.geometry.lengths == [2, 12]
    assert pack.geometry.text_lengths == (0, 5)
    assert pack.seconds_N.tolist() == [0.0] * 2 + [0.0] * 4 + [0.5] * 4 + [1.0] * 4
    assert pack.clean_N.tolist() == [False] * 2 + [True] * 4 + [False] * 8
    assert torch.equal(pack.tokens_NP[2:], patchify(clip.latent_CTHW, PATCH))
    assert pack.geometry.coordinates_N4[[1, 2, 13]].tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [1, 2, 1, 1]]


def test_packing_order_brings_equal_shapes_together():
    shapes = [(16, 3, 4, 4), (16, 1, 4, 4), (16, 3, 4, 4)]
    assert [shapes[i] for i in packing_order(shapes)] == [(16, 1, 4, 4), (16, 3, 4, 4), (16, 3, 4, 4)]


@pytest.fixture(scope="module")
def native_sizes() -> dict[str, int]:
    rng = random.Random(0)
    return {f"clip-{i:05d}": rng.choice([1, 3, 5]) * rng.choice([16, 24, 32, 40]) for i in range(5000)}


def test_plan_uses_every_sample_once_and_overfills_nothing(native_sizes):
    packs = plan_packs(native_sizes, 1024, "key")
    assert sorted(i for pack in packs for i in pack) == sorted(native_sizes)
    assert max(sum(native_sizes[i] for i in pack) for pack in packs) <= 1024


def test_plan_fills_packs(native_sizes):
    assert fill_frac(plan_packs(native_sizes, 1024, "key"), native_sizes, 1024) > 0.99


def test_plan_is_a_function_of_counts_and_key(native_sizes):
    backwards = dict(reversed(native_sizes.items()))
    assert plan_packs(native_sizes, 1024, "a") == plan_packs(backwards, 1024, "a")
    assert plan_packs(native_sizes, 1024, "a") != plan_packs(native_sizes, 1024, "b")


def test_neighbouring_packs_cost_alike(native_sizes):
    packs = plan_packs(native_sizes, 1024, "key")
    costs = [pack_cost(native_sizes[i] for i in pack) for pack in packs]
    apart = sorted(abs(a - b) / max(a, b) for a, b in zip(costs[::2], costs[1::2], strict=False))
    assert apart[int(0.9 * len(apart))] < 0.02


def test_a_sample_larger_than_a_pack_is_named():
    with pytest.raises(ValueError, match="clip-a has 100 tokens"):
        plan_packs({"clip-a": 100}, 64, "key")
