"""The straight path and its timesteps, by identities and by formulas written out."""

import math

import pytest
import torch

from model.diffusion.paths import draw_timestep, interpolate, shift_timestep, size_shift, velocity


def test_velocity_is_the_derivative_of_the_path():
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    slope = (interpolate(data, noise, 0.6) - interpolate(data, noise, 0.2)) / 0.4
    torch.testing.assert_close(slope, velocity(data, noise))
    assert torch.equal(interpolate(data, noise, 0.0), data)
    assert torch.equal(interpolate(data, noise, 1.0), noise)


def test_a_shift_scales_the_ratio_of_noise_to_data():
    """t / (1 - t) is multiplied by the shift."""
    for t in (0.1, 0.5, 0.9):
        shifted = shift_timestep(t, 3.0)
        assert shifted / (1 - shifted) == pytest.approx(3.0 * t / (1 - t))
    assert [shift_timestep(t, 3.0) for t in (0.0, 1.0)] == [0.0, 1.0]


def test_the_shift_grows_with_size():
    assert size_shift(256, 1) == pytest.approx(1.0)
    assert size_shift(4096, 1) == pytest.approx(3.0)
    assert size_shift(4096, 4) == pytest.approx(6.0)
    assert size_shift(256, 9) == pytest.approx(3.0)


def drawn(count: int, shift: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.tensor([draw_timestep(generator, shift) for _ in range(count)], dtype=torch.float64)


def test_timesteps_are_logit_normal_with_a_uniform_tenth():
    timesteps = drawn(20_000, 1.0)

    def share_above(t: float) -> float:
        logit_normal = 0.5 * (1 - math.erf(math.log(t / (1 - t)) / math.sqrt(2)))
        return 0.9 * logit_normal + 0.1 * (1 - t)

    for t, tolerance in ((0.05, 0.002), (0.3, 0.01), (0.5, 0.01), (0.8, 0.01), (0.95, 0.002)):
        assert (timesteps > t).double().mean().item() == pytest.approx(share_above(t), abs=tolerance)


def test_drawn_timesteps_are_shifted():
    plain, shifted = drawn(50, 1.0), drawn(50, 3.0)
    torch.testing.assert_close(shifted / (1 - shifted), 3.0 * plain / (1 - plain))
