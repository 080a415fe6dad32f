"""Learned variances: their range and steps against diffusers, the bound against normal distributions written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from model.diffusion.objectives import PREDICTIONS, Objective
from model.diffusion.paths import PATHS
from model.diffusion.samplers import Course, ddim, ddpm
from model.diffusion.timesteps import timesteps
from model.diffusion.variance import BOUND_WEIGHT, bound_loss, log_range, log_variance

diffusers = pytest.importorskip("diffusers")
SCHEDULES = {"ddpm_linear": "linear", "ddpm_cosine": "squaredcos_cap_v2"}
STD = 0.4


def normal(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def learned_range(path: str, num_steps: int) -> diffusers.DDPMScheduler:
    """The scheduler of diffusers on exactly our path, since it makes its own of betas in float32."""
    scheduler = diffusers.DDPMScheduler(
        variance_type="learned_range",
        clip_sample=False,
        prediction_type="sample",
        beta_schedule=SCHEDULES[path],
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(num_steps)
    steps = torch.arange(1, 1001, dtype=torch.float64) / 1000
    exact = PATHS[path].at(steps)[0].square()
    torch.testing.assert_close(exact, scheduler.alphas_cumprod.double(), rtol=1e-3, atol=1e-9)
    scheduler.alphas_cumprod, scheduler.one = exact, torch.tensor(1.0, dtype=torch.float64)
    return scheduler


@pytest.mark.parametrize("num_steps", [10, 1000])
@pytest.mark.parametrize("path", SCHEDULES)
def test_the_range_is_that_of_diffusers(path: str, num_steps: int) -> None:
    scheduler, v = learned_range(path, num_steps), normal((7,))
    stride = 1000 // num_steps
    for step in scheduler.timesteps.tolist()[:: max(num_steps // 10, 1)]:
        now, before = torch.tensor([step + 1, step + 1 - stride], dtype=torch.float64) / 1000
        expected = scheduler._get_variance(step, predicted_variance=v)
        torch.testing.assert_close(
            log_variance(v, *log_range(PATHS[path], now, before)), expected, rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("path", SCHEDULES)
def test_ancestral_steps_with_a_learned_variance_are_those_of_diffusers(path: str) -> None:
    scheduler, shape = learned_range(path, 10), (20, 20)

    def answered(x: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        """Data of deviation STD, and some v."""
        alpha, sigma = PATHS[path].at(torch.tensor(timestep, dtype=torch.float64))
        return alpha * STD**2 * x / (alpha.square() * STD**2 + sigma.square()), torch.sin(5 * x + timestep)

    objective = Objective(path, "x0", variance="learned")

    def denoise_with_variance(x: Tensor, timestep: float) -> tuple[Tensor, Tensor, Tensor]:
        data, v = answered(x, timestep)
        return *objective.solve(data, x, torch.tensor(timestep, dtype=torch.float64)), v

    expected, generator = normal(shape), torch.Generator().manual_seed(1)
    for step in scheduler.timesteps[:-1]:  # it adds noise to the end unless that is one step of training away
        answer = torch.cat(answered(expected, (float(step) + 1) / 1000), dim=1)
        expected = scheduler.step(answer, step, expected, generator=generator).prev_sample
    course = Course(
        lambda x, t: denoise_with_variance(x, t)[:2],
        PATHS[path],
        timesteps(10, 1.0)[:-1],
        [torch.Generator().manual_seed(1)],
        denoise_with_variance,
    )
    found = ddpm(normal(shape), course)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    without = Course(course.denoise, course.path, course.times, [torch.Generator().manual_seed(1)])
    assert not torch.allclose(ddpm(normal(shape), without), expected, atol=0.1)


def test_the_least_variance_is_that_of_ancestral_sampling_without_one() -> None:
    path = PATHS["ddpm_cosine"]
    objective = Objective("ddpm_cosine", "noise", variance="learned")

    def denoise(x: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        return objective.solve(torch.tanh(x), x, torch.tensor(timestep, dtype=torch.float64))

    courses = [
        Course(denoise, path, timesteps(7, 2.0), [torch.Generator().manual_seed(0)], with_variance)
        for with_variance in (lambda x, t: (*denoise(x, t), torch.full_like(x, -1.0)), None)
    ]
    torch.testing.assert_close(ddpm(normal((50,)), courses[0]), ddim(normal((50,)), courses[1], eta=1.0))


def step_back(path: str, point: Tensor, data: Tensor, step: int) -> tuple[Tensor, float, float]:
    """Mean, and least and greatest variance, of DDPM's step back from `step` of 1000 (equations 6 and 7), by betas."""
    betas = PATHS[path].betas()  # type: ignore[attr-defined]
    products = (1 - betas).cumprod(0)
    beta, product = float(betas[step - 1]), float(products[step - 1])
    before = float(products[step - 2]) if step > 1 else 1.0
    mean = before**0.5 * beta / (1 - product) * data + (1 - beta) ** 0.5 * (1 - before) / (1 - product) * point
    return mean, (1 - before) / (1 - product) * beta, beta


@pytest.mark.parametrize("path", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("step", [2, 3, 250, 500, 900])
def test_the_bound_is_the_divergence_from_the_true_step(path: str, prediction: str, step: int) -> None:
    objective = Objective(path, prediction, variance="learned")
    data, noise, v = (normal((30,), seed) for seed in range(3))
    level = torch.tensor(step / 1000, dtype=torch.float64)
    point = objective.path.interpolate(data, noise, level)
    target = objective.target(data, noise, level)
    answer = target + 0.1 * normal((30,), 3)
    true_mean, least, most = step_back(path, point, data, step)
    mean, _, _ = step_back(path, point, objective.solve(answer, point, level)[0], step)
    spread = ((v + 1) / 2 * math.log(most) + (1 - v) / 2 * math.log(least)).exp()
    expected = kl_divergence(Normal(true_mean, least**0.5), Normal(mean, spread.sqrt()))
    found = bound_loss(objective, (answer - target).square(), v, level)
    torch.testing.assert_close(found, BOUND_WEIGHT * 1000 * expected / math.log(2), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("path", SCHEDULES)
def test_at_the_first_step_the_bound_is_the_surprise_of_the_data(path: str) -> None:
    objective = Objective(path, "x0", variance="learned")
    data, v = normal((30,)), normal((30,), 1)
    answer = data + 0.1 * normal((30,), 2)
    least, most = step_back(path, data, data, 2)[1], step_back(path, data, data, 1)[2]
    of_second = step_back(path, data, data, 2)[2]
    spread = ((v + 1) / 2 * math.log(of_second) + (1 - v) / 2 * math.log(least)).exp()
    found = bound_loss(objective, (answer - data).square(), v, torch.tensor(0.0007))
    expected = -Normal(answer, spread.sqrt()).log_prob(data) / math.log(2)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert most > 0


@pytest.mark.parametrize("step", [2, 10, 100, 200])
def test_the_bound_leads_v_to_the_variance_of_the_steps_and_nothing_else_anywhere(step: int) -> None:
    """Of normal data, which a perfect network sees, the steps back are normal, and how wide is known."""
    objective = Objective("ddpm_linear", "x0", variance="learned")
    level, before = torch.tensor([step, step - 1], dtype=torch.float64) / 1000
    (alpha, sigma), (alpha_before, sigma_before) = objective.path.at(level), objective.path.at(before)
    spread = (alpha * STD).square() + sigma.square()
    spread_before = (alpha_before * STD).square() + sigma_before.square()
    error = (STD**2 * sigma.square() / spread).requires_grad_()  # squared, of the data
    v = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [v], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-16, tolerance_change=1e-16
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = bound_loss(objective, error, v, level)
        loss.backward()
        return loss

    optimizer.step(closure)
    exact = spread_before - (alpha / alpha_before * spread_before).square() / spread
    low, high = log_range(objective.path, level, before)
    assert float(log_variance(v.detach(), low, high).exp()) == pytest.approx(float(exact), rel=1e-6)
    assert error.grad is None


@pytest.mark.parametrize("path", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_nothing_overflows_at_the_ends(path: str, prediction: str) -> None:
    objective = Objective(path, prediction, variance="learned")
    ends = torch.tensor([[1e-6], [0.001], [0.0011], [0.0019], [1 - 1e-6], [1.0]])
    v = torch.zeros(6, 3, requires_grad=True)
    loss = bound_loss(objective, torch.ones(6, 3), v, ends).sum()
    loss.backward()
    assert loss.isfinite()
    assert v.grad is not None
    assert v.grad.isfinite().all()
