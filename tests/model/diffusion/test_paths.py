"""Paths from data to noise, by identities and against the schedulers of diffusers."""

from __future__ import annotations

import math

import pytest
import torch

from model.diffusion.paths import PATHS, Path

diffusers = pytest.importorskip("diffusers")
INNER = torch.linspace(0.0203, 0.9803, 49, dtype=torch.float64)
"""Between the steps of discrete paths, where they have slopes."""


@pytest.fixture(params=PATHS.values(), ids=PATHS)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_a_path_leads_from_data_to_noise(path: Path) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    alpha, sigma = path.at(ends)
    torch.testing.assert_close(alpha, torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=0, atol=0.007)
    torch.testing.assert_close(sigma, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-4)
    alpha, sigma = path.at(INNER)
    assert (alpha.diff() < 0).all()
    assert (sigma.diff() > 0).all()


def test_slopes_are_the_derivatives(path: Path) -> None:
    step = 1e-7
    for slope, before, after in zip(path.slopes_at(INNER), path.at(INNER - step), path.at(INNER + step), strict=True):
        torch.testing.assert_close(slope, (after - before) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(PATHS.keys() - {"rectified_flow"}))
def test_variance_is_preserved(name: str) -> None:
    alpha, sigma = PATHS[name].at(INNER)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones_like(alpha))


def test_coefficients_have_the_precision_of_the_timestep(path: Path) -> None:
    alpha, sigma = path.at(INNER.float())
    exact = path.at(INNER.float().double())
    assert alpha.dtype == sigma.dtype == torch.float32
    assert torch.equal(alpha, exact[0].float())
    assert torch.equal(sigma, exact[1].float())


def test_a_point_lies_between_data_and_noise(path: Path) -> None:
    data, noise = torch.randn(2, 3, 5)
    alpha, sigma = path.at(torch.tensor([[0.3], [0.5], [0.9]]))
    torch.testing.assert_close(
        path.interpolate(data, noise, torch.tensor([[0.3], [0.5], [0.9]])), alpha * data + sigma * noise
    )


@pytest.mark.parametrize(
    ("name", "schedule"),
    [("ddpm_linear", {"beta_schedule": "linear"}), ("ddpm_cosine", {"beta_schedule": "squaredcos_cap_v2"})],
)
def test_steps_are_those_of_diffusers(name: str, schedule: dict[str, str]) -> None:
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, **schedule)
    steps = torch.arange(1, 1001, dtype=torch.float64) / 1000
    alpha, _ = PATHS[name].at(steps)
    torch.testing.assert_close(alpha.square(), scheduler.alphas_cumprod.double(), rtol=1e-4, atol=1e-9)
    noised = scheduler.add_noise(torch.ones(1), torch.zeros(1), torch.tensor([299]))
    assert float(alpha[299]) == pytest.approx(float(noised), rel=1e-5)


def test_the_trigonometric_path_is_a_quarter_of_a_circle() -> None:
    alpha, sigma = PATHS["trigonometric"].at(torch.tensor(1 / 3, dtype=torch.float64))
    assert float(alpha) == pytest.approx(math.sqrt(3) / 2)
    assert float(sigma) == pytest.approx(1 / 2)
