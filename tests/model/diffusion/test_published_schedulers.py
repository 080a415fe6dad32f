"""diffusers' schedulers with our settings go by the noise levels that we say, and step as our samplers do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.diffusion.objectives import Objective
from model.diffusion.paths import PATHS
from model.diffusion.published_schedulers import DDIM, FLOW, published_timesteps, scheduler_settings
from model.diffusion.samplers import SAMPLERS, Course

diffusers = pytest.importorskip("diffusers")
CASES = [
    (Objective(), 3.0, FLOW, "euler"),
    (Objective(), 0.8, FLOW, "euler"),
    (Objective("ddpm_linear", "noise"), 3.0, DDIM, "ddim"),
    (Objective("ddpm_linear", "x0"), 1.0, DDIM, "ddim"),
    (Objective("ddpm_linear", "v"), 1.0, DDIM, "ddim"),
    (Objective("ddpm_cosine", "v"), 1.0, DDIM, "ddim"),
]


def network(x: torch.Tensor, timestep: float) -> torch.Tensor:
    """Some answer that depends on both."""
    return torch.sin(3 * x + timestep) * 0.5 + 0.1 * x


@pytest.mark.parametrize(("objective", "shift", "class_name", "sampler"), CASES)
@pytest.mark.parametrize("num_steps", [1, 4, 20])
def test_a_scheduler_samples_as_our_sampler(
    objective: Objective, shift: float, class_name: str, sampler: str, num_steps: int
) -> None:
    settings = scheduler_settings(objective, shift)
    assert settings["_class_name"] == class_name
    scheduler = getattr(diffusers, class_name).from_config(settings)
    scheduler.set_timesteps(num_steps)
    times = published_timesteps(objective.path, num_steps, shift)
    assert (len(times), times[0], times[-1]) == (num_steps + 1, 1.0, 0.0)
    told = torch.tensor(times[:-1]) * 1000 - int(class_name == DDIM)
    torch.testing.assert_close(scheduler.timesteps.float(), told, rtol=0, atol=1e-4)
    start = x = torch.randn(64, generator=torch.Generator().manual_seed(0))
    for now, step in zip(times, scheduler.timesteps, strict=False):
        x = scheduler.step(network(x, now), step, x).prev_sample

    def denoise(point: torch.Tensor, timestep: float) -> tuple[torch.Tensor, torch.Tensor]:
        return objective.solve(network(point, timestep), point, torch.tensor(timestep))

    found = SAMPLERS[sampler](start, Course(denoise, objective.path, times))
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (Objective(prediction="x0"), "prediction = 'x0': on rectified_flow FlowMatchEuler.* takes only 'velocity'"),
        (
            Objective("trigonometric", "v"),
            "path = 'trigonometric': diffusers has schedulers for rectified_flow, ",
        ),
        (Objective("ddpm_linear"), "prediction = 'velocity': on ddpm_linear DDIMScheduler takes only noise, x0, v"),
    ],
)
def test_an_objective_without_a_scheduler_is_told(objective: Objective, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scheduler_settings(objective, 1.0)


def test_levels_that_no_scheduler_has_are_refused() -> None:
    with pytest.raises(ValueError, match="none of its schedulers is for a Trigonometric path"):
        published_timesteps(PATHS["trigonometric"], 4, 1.0)
    for path in ("rectified_flow", "ddpm_linear"):
        with pytest.raises(ValueError, match="needs at least one step, got 0"):
            published_timesteps(PATHS[path], 0, 1.0)


def test_a_learned_variance_changes_nothing_of_the_scheduler() -> None:
    objective = Objective("ddpm_linear", "noise")
    assert scheduler_settings(replace(objective, variance="learned"), 1.0) == scheduler_settings(objective, 1.0)
