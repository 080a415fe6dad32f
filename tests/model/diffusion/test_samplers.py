"""Samplers: on flows whose end is known, by their order of convergence, and against the schedulers of diffusers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.diffusion.paths import PATHS, Path
from model.diffusion.samplers import SAMPLERS, Course, Denoise, ddim, ddpm, euler, unipc
from model.diffusion.timesteps import timesteps

diffusers = pytest.importorskip("diffusers")
MEAN, STD = 0.7, 0.4
ORDERS = {"euler": 1, "heun": 2, "ddim": 1, "dpm_solver_2m": 2, "unipc": 2}


def of_gaussian(path: Path, mean: float = MEAN, std: float = STD) -> Denoise:
    """What a perfect network sees if the data are normal with this mean and deviation."""

    def denoise(x: Tensor, timestep: float) -> tuple[Tensor, Tensor]:
        alpha, sigma = (float(value) for value in path.at(torch.tensor(timestep, dtype=torch.float64)))
        variance = alpha**2 * std**2 + sigma**2
        data = mean + alpha * std**2 / variance * (x - alpha * mean)
        return data, sigma / variance * (x - alpha * mean)

    return denoise


def start(count: int = 400) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def straight(data: Tensor, noise: Tensor) -> Denoise:
    return lambda x, timestep: (data, noise)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS.keys() - {"ddpm"}))
@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_a_straight_path_is_followed_exactly(sampler: str, num_steps: int) -> None:
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    course = Course(straight(data, noise), PATHS["rectified_flow"], timesteps(num_steps, shift=3.0))
    torch.testing.assert_close(SAMPLERS[sampler](noise, course), data)


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver_2m", "unipc"])
@pytest.mark.parametrize("path", PATHS)
def test_known_data_and_noise_are_a_straight_line_on_any_path(sampler: str, path: str) -> None:
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    course = Course(straight(data, noise), PATHS[path], timesteps(4, shift=1.0))
    alpha, sigma = course.at(1.0)
    torch.testing.assert_close(SAMPLERS[sampler](alpha * data + sigma * noise, course), data)


def error(sampler: str, path: str, num_steps: int) -> float:
    """Mean distance from where the exact flow of a Gaussian leads: the same place in it, in deviations."""
    times = [0.95 - 0.9 * i / num_steps for i in range(num_steps + 1)]
    x = start()
    found = SAMPLERS[sampler](x, Course(of_gaussian(PATHS[path]), PATHS[path], times))
    (alpha, sigma), (end_alpha, end_sigma) = (
        Course(straight(x, x), PATHS[path], times).at(t) for t in (0.95, times[-1])
    )
    spread, end_spread = math.hypot(alpha * STD, sigma), math.hypot(end_alpha * STD, end_sigma)
    exact = end_alpha * MEAN + (x - alpha * MEAN) / spread * end_spread
    return float((found - exact).abs().mean())


@pytest.mark.parametrize("path", ["rectified_flow", "trigonometric"])
@pytest.mark.parametrize("sampler", ORDERS)
def test_the_error_falls_with_the_order_of_the_sampler(sampler: str, path: str) -> None:
    coarse, fine = error(sampler, path, 160), error(sampler, path, 320)
    assert math.log2(coarse / fine) == pytest.approx(ORDERS[sampler], abs=0.25)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("path", PATHS)
def test_noise_becomes_the_distribution_of_the_data(sampler: str, path: str) -> None:
    generator = torch.Generator().manual_seed(1)
    course = Course(of_gaussian(PATHS[path]), PATHS[path], timesteps(400, shift=1.0), [generator])
    found = SAMPLERS[sampler](start(4000), course)
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(found.std()) == pytest.approx(STD, abs=0.03)


def steps_of_diffusers(
    scheduler: object, num_steps: int, x: Tensor, denoise: Callable[[Tensor, float], Tensor]
) -> Tensor:
    scheduler.set_timesteps(num_steps)  # type: ignore[attr-defined]
    for step in scheduler.timesteps:  # type: ignore[attr-defined]
        x = scheduler.step(denoise(x, float(step)), step, x).prev_sample  # type: ignore[attr-defined]
    return x


def test_euler_is_that_of_diffusers() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    denoise = of_gaussian(PATHS["rectified_flow"])

    def velocity(x: Tensor, step: float) -> Tensor:
        data, noise = denoise(x, step / 1000)
        return noise - data

    scheduler.set_timesteps(12)
    times = [float(sigma) for sigma in scheduler.sigmas]
    expected = steps_of_diffusers(scheduler, 12, start(), velocity)
    found = euler(start(), Course(denoise, PATHS["rectified_flow"], times))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # it keeps sigmas in float32


def test_the_shifted_timesteps_are_those_of_diffusers() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=[1.0 - i / 12 for i in range(12)])
    torch.testing.assert_close(torch.tensor(timesteps(12, 3.0)), scheduler.sigmas, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
def test_ddim_is_that_of_diffusers(prediction: str) -> None:
    scheduler = diffusers.DDIMScheduler(
        clip_sample=False,
        set_alpha_to_one=True,
        prediction_type=prediction,
        beta_schedule="linear",
        beta_start=1e-4,
        beta_end=0.02,
        timestep_spacing="trailing",
    )
    path = PATHS["ddpm_linear"]
    denoise = of_gaussian(path)
    place = {"sample": 0, "epsilon": 1}[prediction]
    expected = steps_of_diffusers(scheduler, 10, start(), lambda x, step: denoise(x, (step + 1) / 1000)[place])
    found = ddim(start(), Course(denoise, path, timesteps(10, 1.0)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_dpm_solver_is_that_of_diffusers() -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=1.0,
        final_sigmas_type="zero",
        lower_order_final=False,
    )
    path = PATHS["rectified_flow"]
    denoise = of_gaussian(path)
    scheduler.set_timesteps(15)
    times = [float(sigma) for sigma in scheduler.sigmas]

    def velocity(x: Tensor, step: float) -> Tensor:
        data, noise = denoise(x, times[scheduler.step_index or 0])
        return noise - data

    expected = start()
    for step in scheduler.timesteps:
        expected = scheduler.step(velocity(expected, float(step)), step, expected).prev_sample
    found = SAMPLERS["dpm_solver_2m"](start(), Course(denoise, path, times))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


UNIPC = {"solver_order": 2, "solver_type": "bh2", "lower_order_final": True, "final_sigmas_type": "zero"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("num_steps", [1, 2, 3, 15])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_unipc_is_that_of_diffusers_on_the_rectified_flow(shift: float, num_steps: int) -> None:
    scheduler = diffusers.UniPCMultistepScheduler(
        **UNIPC, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(num_steps)
    scheduler.sigmas = scheduler.sigmas.double()
    times = [float(sigma) for sigma in scheduler.sigmas]
    denoise = of_gaussian(PATHS["rectified_flow"])
    expected = start().view(20, 20)
    for time, step in zip(times, scheduler.timesteps, strict=False):
        data, noise = denoise(expected, time)
        expected = scheduler.step(noise - data, step, expected).prev_sample
    found = unipc(start().view(20, 20), Course(denoise, PATHS["rectified_flow"], times))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("path", ["ddpm_linear", "ddpm_cosine"])
def test_unipc_is_that_of_diffusers_on_discrete_paths(path: str) -> None:
    schedule = {"ddpm_linear": "linear", "ddpm_cosine": "squaredcos_cap_v2"}[path]
    scheduler = diffusers.UniPCMultistepScheduler(
        **UNIPC, prediction_type="epsilon", beta_schedule=schedule, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(20)
    times = timesteps(20, 1.0)
    course = Course(of_gaussian(PATHS[path]), PATHS[path], times)
    ratios = [sigma / alpha for alpha, sigma in map(course.at, times)]
    torch.testing.assert_close(scheduler.sigmas, torch.tensor(ratios), rtol=1e-3, atol=0)  # from betas in float32
    scheduler.sigmas = torch.tensor(ratios, dtype=torch.float64)
    expected = start().view(20, 20)
    for time, step in zip(times, scheduler.timesteps, strict=False):
        expected = scheduler.step(course.denoise(expected, time)[1], step, expected).prev_sample
    torch.testing.assert_close(unipc(start().view(20, 20), course), expected, rtol=1e-10, atol=1e-10)


def test_unipc_starts_from_pure_noise_as_from_almost_pure_noise() -> None:
    path = PATHS["rectified_flow"]
    pure, almost = (
        unipc(start(), Course(of_gaussian(path), path, [first, 0.8, 0.5, 0.2, 0.0])) for first in (1.0, 1 - 1e-15)
    )
    torch.testing.assert_close(pure, almost, rtol=0.02, atol=0.02)


def test_new_noise_is_drawn_from_the_generator() -> None:
    course = [
        Course(
            of_gaussian(PATHS["ddpm_linear"]),
            PATHS["ddpm_linear"],
            timesteps(5, 1.0),
            [torch.Generator().manual_seed(seed)],
        )
        for seed in (0, 0, 1)
    ]
    one, same, other = (ddpm(start(), each) for each in course)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
