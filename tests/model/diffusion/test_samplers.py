"""Euler's method on flows whose end is known."""

import math
from itertools import pairwise

import pytest
import torch

from model.diffusion.samplers import euler, timesteps


def test_timesteps_fall_evenly_from_noise_to_data_and_are_then_shifted():
    assert timesteps(4, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert timesteps(2, 3.0) == [1.0, 3.0 * 0.5 / (1 + 2.0 * 0.5), 0.0]


def test_no_steps_is_an_error():
    assert timesteps(1, 2.0) == [1.0, 0.0]
    with pytest.raises(ValueError, match="at least one step"):
        timesteps(0, 1.0)


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_a_straight_path_is_followed_exactly(num_steps):
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    end = euler(lambda x, t: noise - data, noise, timesteps(num_steps, shift=3.0))
    torch.testing.assert_close(end, data)


def test_a_linear_field_gives_the_product_of_its_steps():
    times = timesteps(5, shift=2.0)
    factor = math.prod(1 + 0.7 * (b - a) for a, b in pairwise(times))
    end = euler(lambda x, t: 0.7 * x, torch.ones(1, dtype=torch.float64), times)
    assert end.item() == pytest.approx(factor, rel=1e-12)


def test_the_flow_to_a_point_ends_there():
    """For data at one point c the exact velocity at (x, t) is (x - c) / t."""
    end = euler(lambda x, t: (x - 3.0) / t, torch.randn(20, dtype=torch.float64), timesteps(10, shift=1.0))
    torch.testing.assert_close(end, torch.full((20,), 3.0, dtype=torch.float64))
