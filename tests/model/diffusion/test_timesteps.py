"""Densities of timesteps and their shift, by formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from model.diffusion.timesteps import DENSITIES, Density, shift_timestep, size_shift, timesteps


def test_a_shift_scales_the_ratio_of_noise_to_data() -> None:
    """t / (1 - t) is multiplied by the shift."""
    for t in (0.1, 0.5, 0.9):
        shifted = shift_timestep(t, 3.0)
        assert shifted / (1 - shifted) == pytest.approx(3.0 * t / (1 - t))
    assert [shift_timestep(t, 3.0) for t in (0.0, 1.0)] == [0.0, 1.0]


def test_the_shift_grows_with_size() -> None:
    assert size_shift(256, 1) == pytest.approx(1.0)
    assert size_shift(4096, 1) == pytest.approx(3.0)
    assert size_shift(4096, 4) == pytest.approx(6.0)
    assert size_shift(256, 9) == pytest.approx(3.0)


def drawn(density: Density, count: int = 20_000, shift: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.tensor([density.draw(generator, shift) for _ in range(count)], dtype=torch.float64)


def normal_above(x: float) -> float:
    return 0.5 * (1 - math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize(("mean", "std", "uniform"), [(0.0, 1.0, 0.1), (0.5, 0.6, 0.0), (-1.0, 2.0, 0.4)])
def test_timesteps_are_logit_normal_with_a_uniform_share(mean: float, std: float, uniform: float) -> None:
    found = drawn(Density(mean=mean, std=std, uniform_share=uniform))
    for t in (0.05, 0.3, 0.5, 0.8, 0.95):
        expected = (1 - uniform) * normal_above((math.log(t / (1 - t)) - mean) / std) + uniform * (1 - t)
        assert (found > t).double().mean().item() == pytest.approx(expected, abs=0.01)


def test_uniform_timesteps_are_uniform() -> None:
    found = drawn(Density("uniform")).sort().values
    assert float((found - torch.linspace(0, 1, len(found), dtype=torch.float64)).abs().max()) < 0.015


def test_the_mode_density_has_the_tails_of_its_formula() -> None:
    """SD3, equation 20: t as a function of a uniform number, which falls."""
    found = drawn(Density("mode", uniform_share=0.0)).sort().values
    u = 1 - torch.linspace(0, 1, len(found), dtype=torch.float64)
    expected = 1 - u - 1.29 * (torch.cos(math.pi / 2 * u).square() - 1 + u)
    assert float((found - expected).abs().max()) < 0.02


@pytest.mark.parametrize("name", DENSITIES)
def test_drawn_timesteps_are_shifted(name: str) -> None:
    plain, shifted = drawn(Density(name), 50), drawn(Density(name), 50, shift=3.0)
    torch.testing.assert_close(shifted / (1 - shifted), 3.0 * plain / (1 - plain))


def test_timesteps_fall_evenly_from_noise_to_data_and_are_then_shifted() -> None:
    assert timesteps(4, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert timesteps(2, 3.0) == [1.0, 3.0 * 0.5 / (1 + 2.0 * 0.5), 0.0]
    assert timesteps(1, 2.0) == [1.0, 0.0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        timesteps(0, 1.0)
    with pytest.raises(ValueError, match="timesteps = 'x': none of uniform"):
        Density("x")
