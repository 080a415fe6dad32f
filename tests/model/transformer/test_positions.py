"""Rotary positions keep lengths, depend on differences only, and measure time in seconds."""

import cmath

import pytest
import torch

from model.transformer.positions import axis_dims, rotary_angles, rotate


def at(seconds: float, row: int, column: int, head_dim: int = 32) -> torch.Tensor:
    return rotary_angles(torch.tensor([seconds]), torch.tensor([[0, row, column]]), head_dim)


def test_axes_share_all_channels_evenly():
    for head_dim in (6, 16, 32, 64, 128):
        dims = axis_dims(head_dim)
        assert sum(dims) == head_dim
        assert all(d > 0 and d % 2 == 0 for d in dims)


@pytest.mark.parametrize("head_dim", [4, 33])
def test_impossible_heads_are_refused(head_dim):
    with pytest.raises(ValueError, match="head dimension"):
        axis_dims(head_dim)


def test_rotation_is_multiplication_by_a_complex_phase():
    x = torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(0))
    angles = at(1.5, 3, 7)
    turned = rotate(x, angles)[0, 0]
    for i, angle in enumerate(angles[0].tolist()):
        expected = complex(x[0, 0, 2 * i], x[0, 0, 2 * i + 1]) * cmath.exp(1j * angle)
        assert abs(complex(turned[2 * i], turned[2 * i + 1]) - expected) < 1e-5


def test_scores_depend_on_differences_of_position():
    q, k = torch.randn(2, 1, 1, 32, generator=torch.Generator().manual_seed(1))

    def score(a: tuple, b: tuple) -> torch.Tensor:
        return (rotate(q, at(*a)) * rotate(k, at(*b))).sum()

    here = score((0.5, 2, 3), (1.25, 5, 1))
    torch.testing.assert_close(here, score((2.5, 12, 23), (3.25, 15, 21)), rtol=1e-4, atol=1e-4)
    assert abs(here - score((0.5, 2, 3), (2.25, 5, 1))) > 1e-3


def test_frame_rate_does_not_change_the_position_of_a_moment():
    assert torch.equal(at(4 * (1 / 8.0), 0, 0), at(8 * (1 / 16.0), 0, 0))
