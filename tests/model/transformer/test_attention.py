"""Attention over groups equals dense attention under the mask of the groups."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.transformer.attention import AttentionPlan, CrossAttention, HeadPlans, Heads, IndexedRows
from model.transformer.layouts import Bucket, cross_attention_buckets, self_attention_buckets

SCATTERED = np.array([[0], [1], [0], [2], [1], [2], [2], [0]])
NEIGHBOURS = np.array([[0], [0], [0], [1], [1], [1], [2], [2]])
CPU = torch.device("cpu")


def random_heads(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 2, 8, generator=torch.Generator().manual_seed(seed))


def masked_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: np.ndarray) -> torch.Tensor:
    q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=torch.from_numpy(mask)).transpose(0, 1)


@pytest.mark.parametrize("groups", [SCATTERED, NEIGHBOURS])
def test_attention_within_groups_equals_masked_attention(groups):
    q, k, v = (random_heads(8, seed) for seed in range(3))
    plan = AttentionPlan(self_attention_buckets(groups), CPU)
    torch.testing.assert_close(plan.attend(q, k, v), masked_attention(q, k, v, groups == groups.T))


def test_attention_to_other_tokens_equals_masked_attention():
    queries, keys = [np.array([0, 3]), np.array([1, 2, 4])], [np.arange(0, 4), np.arange(4, 6)]
    mask = np.zeros((5, 6), bool)
    for group, seen in zip(queries, keys, strict=True):
        mask[np.ix_(group, seen)] = True
    q, k, v = random_heads(5, 0), random_heads(6, 1), random_heads(6, 2)
    plan = AttentionPlan(cross_attention_buckets(queries, keys), CPU)
    torch.testing.assert_close(plan.attend(q, k, v), masked_attention(q, k, v, mask))


def test_consecutive_rows_are_not_copied():
    x = random_heads(9, 0)
    consecutive = IndexedRows.of(np.array([[2, 3], [4, 5]]), CPU)
    scattered = IndexedRows.of(np.array([[2, 3], [5, 6]]), CPU)
    assert (consecutive.start, scattered.start) == (2, None)
    assert torch.equal(consecutive.take(x), x[2:6].unflatten(0, (2, 2)).transpose(1, 2))
    assert consecutive.take(x).data_ptr() == x[2:].data_ptr()
    assert torch.equal(scattered.take(x), x[[2, 3, 5, 6]].unflatten(0, (2, 2)).transpose(1, 2))


def test_outputs_in_order_are_not_put_in_order():
    assert AttentionPlan(self_attention_buckets(NEIGHBOURS), CPU).restore is None
    assert AttentionPlan(self_attention_buckets(SCATTERED), CPU).restore is not None


def test_gradients_flow_through_scattered_groups():
    q = random_heads(8, 0).requires_grad_()
    AttentionPlan(self_attention_buckets(SCATTERED), CPU).attend(q, q, q).square().sum().backward()
    assert q.grad is not None
    assert bool((q.grad.abs().sum(dim=(1, 2)) > 0).all())


@pytest.mark.parametrize("queries", [[[0, 1, 2], [4, 5, 6]], [[0, 1, 2], [2, 3, 4]]])
def test_a_token_left_out_or_asked_twice_is_an_error(queries):
    bucket = Bucket(np.array(queries), np.array([[0, 1], [0, 1]]))
    with pytest.raises(ValueError, match="exactly one group"):
        AttentionPlan([bucket], CPU)


def test_heads_are_normed_over_their_own_channels_in_float32():
    heads = Heads(16, 2, "head").requires_grad_(False)
    heads.weight.copy_(torch.arange(8.0))
    x = random_heads(3, 0) * 1e-3  # small enough to show the epsilon
    expected = x / (x.square().mean(dim=2, keepdim=True) + 1e-6).sqrt() * torch.arange(8.0)
    x = x.flatten(1)
    torch.testing.assert_close(heads(x), expected)
    assert torch.equal(heads(x.bfloat16()), heads(x.bfloat16().float()).bfloat16())


def test_norms_may_be_over_all_channels_or_none():
    x = random_heads(3, 0).flatten(1)
    heads = Heads(16, 2, "width").requires_grad_(False)
    heads.weight.copy_(torch.arange(16.0))
    expected = x / (x.square().mean(dim=1, keepdim=True) + 1e-6).sqrt() * torch.arange(16.0)
    torch.testing.assert_close(heads(x), expected.view(3, 2, 8))
    assert torch.equal(Heads(16, 2, "none")(x), x.view(3, 2, 8))


def test_shares_of_the_heads_attend_by_plans_of_their_own():
    q, k, v = (random_heads(8, seed) for seed in (1, 2, 3))
    plans = [AttentionPlan(self_attention_buckets(groups), CPU) for groups in (SCATTERED, NEIGHBOURS)]
    found = HeadPlans(tuple(plans)).attend(q, k, v)
    for head, plan in enumerate(plans):
        of_head = [x[:, head : head + 1] for x in (q, k, v)]
        torch.testing.assert_close(found[:, head : head + 1], plan.attend(*of_head))


def test_text_attention_starts_as_zero():
    layer = CrossAttention(16, 2)
    plan = AttentionPlan(cross_attention_buckets([np.arange(4)], [np.arange(3)]), CPU)
    assert not layer(torch.randn(4, 16), torch.randn(3, 16), plan).any()
