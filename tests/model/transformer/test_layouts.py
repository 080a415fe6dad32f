"""Attention over groups equals dense attention under the mask that the layout's definition gives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.packing.packing import Geometry
from model.transformer.attention import AttentionPlan
from model.transformer.layouts import LAYOUTS, cross_attention_buckets, self_attention_buckets

GEOMETRY = Geometry(grids=((3, 4, 5), (1, 2, 2), (5, 9, 3), (3, 4, 5)), text_lengths=(4, 0, 7, 4))


def random_heads(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 2, 8, generator=torch.Generator().manual_seed(seed))


def masked_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: np.ndarray) -> torch.Tensor:
    q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=torch.from_numpy(mask)).transpose(0, 1)


def may_attend(layout: str, a: np.ndarray, b: np.ndarray) -> bool:
    """The layouts written again, as a relation between two tokens (document, t, y, x)."""
    same = a == b
    box = np.array([4, 8, 8])
    return bool(
        same[0]
        and {
            "joint": True,
            "spatial": same[1],
            "temporal": same[2] and same[3],
            "window": (a[1:] // box == b[1:] // box).all(),
            "shifted_window": ((a[1:] + box // 2) // box == (b[1:] + box // 2) // box).all(),
        }[layout]
    )


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_layout_equals_masked_attention(layout):
    coordinates = GEOMETRY.coordinates_N4
    mask = np.array([[may_attend(layout, a, b) for b in coordinates] for a in coordinates])
    q, k, v = (random_heads(len(coordinates), seed) for seed in range(3))
    plan = AttentionPlan(GEOMETRY.self_buckets(layout), q.device)
    torch.testing.assert_close(plan.attend(q, k, v), masked_attention(q, k, v, mask), rtol=1e-4, atol=1e-5)


def test_text_attention_equals_masked_attention():
    document = GEOMETRY.coordinates_N4[:, 0]
    text_document = np.array([0] * 4 + [2] * 7 + [3] * 4 + [1])  # the row after the texts serves the one without
    mask = document[:, None] == text_document[None]
    q, k, v = random_heads(len(document), 0), random_heads(16, 1), random_heads(16, 2)
    plan = AttentionPlan(GEOMETRY.text_buckets(), q.device)
    torch.testing.assert_close(plan.attend(q, k, v), masked_attention(q, k, v, mask), rtol=1e-4, atol=1e-5)


def test_gradients_flow_through_scattered_groups():
    q = random_heads(len(GEOMETRY.coordinates_N4), 0).requires_grad_()
    AttentionPlan(GEOMETRY.self_buckets("temporal"), q.device).attend(q, q, q).square().sum().backward()
    assert q.grad is not None
    assert bool((q.grad.abs().sum(dim=(1, 2)) > 0).all())


def test_groups_of_one_length_share_a_bucket():
    buckets = self_attention_buckets(LAYOUTS["joint"](GEOMETRY.coordinates_N4))
    assert sorted(b.queries_GL.shape for b in buckets) == [(1, 4), (1, 135), (2, 60)]


def test_a_token_left_out_is_an_error():
    buckets = cross_attention_buckets([np.arange(0, 3), np.arange(4, 6)], [np.arange(2), np.arange(2)])
    with pytest.raises(ValueError, match="exactly one group"):
        AttentionPlan(buckets, torch.device("cpu"))
