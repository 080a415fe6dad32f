"""Guidance: its formulas, and distributions whose guided form is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.diffusion.guidance import Guidance, classifier_guided
from model.diffusion.paths import PATHS, Path
from model.diffusion.samplers import Course, heun
from model.diffusion.timesteps import timesteps


def answers(seed: int = 0, tokens: int = 6) -> tuple[Tensor, Tensor]:
    """With text and without, the latter of another mean."""
    conditional, unconditional = torch.randn(2, tokens, 4, generator=torch.Generator().manual_seed(seed))
    return conditional, unconditional + 1.0


def test_guidance_extrapolates() -> None:
    conditional, unconditional = answers()
    assert torch.equal(Guidance(0.0).guide(conditional, unconditional, [6]), unconditional)
    torch.testing.assert_close(Guidance(1.0).guide(conditional, unconditional, [6]), conditional)
    expected = 3 * conditional - 2 * unconditional
    torch.testing.assert_close(Guidance(3.0).guide(conditional, unconditional, [6]), expected)


def test_a_whole_rescale_gives_the_deviation_of_the_answer_with_text() -> None:
    conditional, unconditional = answers()
    plain = Guidance(5.0).guide(conditional, unconditional, [6])
    rescaled = Guidance(5.0, rescale=1.0).guide(conditional, unconditional, [6])
    assert float(plain.std()) > 2 * float(conditional.std())
    torch.testing.assert_close(rescaled.std(), conditional.std())
    torch.testing.assert_close(rescaled / plain, torch.full_like(plain, float(conditional.std() / plain.std())))


def test_a_rescale_in_part_is_a_mean_of_both() -> None:
    conditional, unconditional = answers()
    none, some, whole = (Guidance(5.0, rescale=phi).guide(conditional, unconditional, [6]) for phi in (0.0, 0.7, 1.0))
    torch.testing.assert_close(some, 0.7 * whole + 0.3 * none)


def test_documents_of_a_pack_are_rescaled_apart() -> None:
    guidance = Guidance(5.0, rescale=0.8)
    (first, without_first), (second, without_second) = answers(0, 2), answers(1, 6)
    second = second * 10
    together = guidance.guide(torch.cat([first, second]), torch.cat([without_first, without_second]), [2, 6])
    assert torch.equal(together[:2], guidance.guide(first, without_first, [2]))
    assert torch.equal(together[2:], guidance.guide(second, without_second, [6]))


def test_an_answer_that_is_constant_stays_finite() -> None:
    flat = torch.full((6, 4), 2.0)
    assert torch.equal(Guidance(3.0, rescale=1.0).guide(flat, flat, [6]), flat)


def test_the_ends_of_the_interval_belong_to_it() -> None:
    guidance = Guidance(2.0, interval=(0.25, 0.75))
    assert [guidance.is_used_at(t) for t in (0.0, 0.249, 0.25, 0.5, 0.75, 0.751, 1.0)] == [0, 0, 1, 1, 1, 0, 0]
    assert all(Guidance(2.0).is_used_at(t) for t in (0.0, 1e-6, 1.0))
    assert not Guidance(1.0).is_used_at(0.5)


@pytest.mark.parametrize("interval", [(0.6, 0.4), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 1.0)])
def test_an_interval_that_is_none_is_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"not two timesteps from 0 .* to 1 .*, the lower first"):
        Guidance(interval=interval)


@pytest.mark.parametrize("rescale", [-0.1, 1.1])
def test_a_rescale_beyond_its_ends_is_refused(rescale: float) -> None:
    with pytest.raises(ValueError, match=r"rescale = .*: not from 0 to 1"):
        Guidance(rescale=rescale)


MEANS, STD = torch.tensor([-2.0, 3.0], dtype=torch.float64), 0.5
"""Two classes of normal data, each as frequent as the other."""


def log_probability(path: Path, timestep: float) -> Callable[[Tensor], Tensor]:
    """Of the second class, given a point of the path."""
    alpha, sigma = (float(value) for value in path.at(torch.tensor(timestep, dtype=torch.float64)))
    variance = alpha**2 * STD**2 + sigma**2

    def of(point: Tensor) -> Tensor:
        logits = -(point[:, None] - alpha * MEANS).square() / (2 * variance)
        return logits.log_softmax(dim=1)[:, 1]

    return of


def noise_of_mixture(path: Path, x: Tensor, timestep: float, shares: Tensor) -> Tensor:
    """What a perfect network sees of the noise, if classes have these shares."""
    alpha, sigma = (float(value) for value in path.at(torch.tensor(timestep, dtype=torch.float64)))
    variance = alpha**2 * STD**2 + sigma**2
    logits = shares.log() - (x[:, None] - alpha * MEANS).square() / (2 * variance)
    return (logits.softmax(dim=1) * (x[:, None] - alpha * MEANS)).sum(dim=1) * sigma / variance


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("timestep", [0.1, 0.5, 0.9])
def test_a_classifier_makes_of_all_classes_the_one_that_it_is_asked_for(path: str, timestep: float) -> None:
    x = torch.linspace(-3, 4, 50, dtype=torch.float64)
    of_both = noise_of_mixture(PATHS[path], x, timestep, torch.tensor([0.5, 0.5], dtype=torch.float64))
    of_one = noise_of_mixture(PATHS[path], x, timestep, torch.tensor([0.0, 1.0], dtype=torch.float64))
    sigma = float(PATHS[path].at(torch.tensor(timestep, dtype=torch.float64))[1])
    found = classifier_guided(of_both, x, sigma, log_probability(PATHS[path], timestep))
    torch.testing.assert_close(found, of_one)
    assert not torch.allclose(of_both, of_one)


def test_scale_is_a_factor_on_the_gradient() -> None:
    x = torch.randn(5, dtype=torch.float64)
    found = classifier_guided(torch.zeros_like(x), x, 0.5, lambda point: -point.square() / 2, scale=3.0)
    torch.testing.assert_close(found, 1.5 * x)
    assert not found.requires_grad


@torch.no_grad()
def test_points_that_are_sampled_with_a_classifier_are_of_its_class() -> None:
    path = PATHS["trigonometric"]
    shares = torch.tensor([0.5, 0.5], dtype=torch.float64)

    def denoise(x: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        alpha, sigma = (float(value) for value in path.at(torch.tensor(timestep, dtype=torch.float64)))
        of_all = noise_of_mixture(path, x, timestep, shares)
        noise = classifier_guided(of_all, x, sigma, log_probability(path, timestep))
        return (x - sigma * noise) / alpha, noise

    times = timesteps(200, shift=1.0)
    times[0] = 1 - 1e-4
    start = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = heun(start, Course(denoise, path, times))
    assert float(found.mean()) == pytest.approx(3.0, abs=0.03)
    assert float(found.std()) == pytest.approx(STD, abs=0.03)
