"""Objectives: every prediction says the same of a point, and every weighting is the loss that it is named for."""

from __future__ import annotations

import pytest
import torch

from model.diffusion.objectives import PREDICTIONS, Objective
from model.diffusion.paths import PATHS
from schemas.recipe.train import ObjectiveConfig

TIMES = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)[:, None]


def points() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(7, 20, generator=generator, dtype=torch.float64),
        torch.randn(7, 20, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_data_and_noise_follow_from_a_right_answer(path: str, prediction: str) -> None:
    objective = Objective(path, prediction)
    data, noise = points()
    point = objective.path.interpolate(data, noise, TIMES)
    found = objective.solve(objective.target(data, noise, TIMES), point, TIMES)
    torch.testing.assert_close(found[0], data, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found[1], noise, rtol=1e-8, atol=1e-8)


def test_targets_are_what_they_are_named_for() -> None:
    data, noise = points()
    flow = Objective("rectified_flow", "velocity").target(data, noise, TIMES)
    torch.testing.assert_close(flow, noise - data)
    assert torch.equal(Objective(prediction="x0").target(data, noise, TIMES), data)
    assert torch.equal(Objective(prediction="noise").target(data, noise, TIMES), noise)
    alpha, sigma = PATHS["ddpm_cosine"].at(TIMES)
    v = Objective("ddpm_cosine", "v").target(data, noise, TIMES)
    torch.testing.assert_close(v, alpha * noise - sigma * data)


def weighted(objective: Objective, error: torch.Tensor) -> torch.Tensor:
    """The loss of each point for an answer whose data is off by `error`."""
    data, noise = points()
    point = objective.path.interpolate(data, noise, TIMES)
    alpha, sigma = objective.path.at(TIMES)
    wrong_data = data + error
    wrong_noise = (point - alpha * wrong_data) / sigma
    answer = objective.target(wrong_data, wrong_noise, TIMES)
    loss = (answer - objective.target(data, noise, TIMES)).square().mean(dim=1, keepdim=True)
    return objective.weight(TIMES) * loss


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("weighting", ["velocity", "min_snr", "sigmoid"])
def test_a_weighting_is_the_same_loss_whatever_is_predicted(path: str, weighting: str) -> None:
    error = torch.randn(7, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    losses = [weighted(Objective(path, prediction, weighting), error) for prediction in PREDICTIONS]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("path", PATHS)
def test_the_velocity_s_weighting_is_the_error_of_the_velocity_down_to_the_floor(path: str) -> None:
    own = Objective(path, "velocity")
    floored = Objective(path, "velocity", "velocity", weight_floor=0.1)
    _, sigma = own.path.at(TIMES)
    torch.testing.assert_close(floored.weight(TIMES), (sigma / sigma.clamp(min=0.1)).square(), rtol=1e-8, atol=1e-10)
    assert torch.equal(own.weight(TIMES), torch.ones_like(TIMES))


def test_x0_with_the_weight_of_the_velocity_is_as_in_the_formula() -> None:
    weight = Objective(prediction="x0", weighting="velocity", weight_floor=0.1).weight(TIMES)
    torch.testing.assert_close(weight, 1 / TIMES.clamp(min=0.1).square())


def test_min_snr_and_sigmoid_are_as_in_their_formulas() -> None:
    alpha, sigma = PATHS["ddpm_linear"].at(TIMES)
    snr = (alpha / sigma).square()
    of_noise = Objective("ddpm_linear", "noise", "min_snr", min_snr_gamma=5.0).weight(TIMES)
    torch.testing.assert_close(of_noise, snr.clamp(max=5.0) / snr)
    of_noise = Objective("ddpm_linear", "noise", "sigmoid", sigmoid_bias=-1.0).weight(TIMES)
    torch.testing.assert_close(of_noise, torch.sigmoid(-1.0 - snr.log()))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("weighting", ["own", "velocity", "min_snr", "sigmoid"])
def test_nothing_overflows_at_the_ends(path: str, prediction: str, weighting: str) -> None:
    objective = Objective(path, prediction, weighting)
    ends = torch.tensor([[0.0], [1e-6], [1 - 1e-6], [1.0]])
    data, noise = torch.randn(2, 4, 3)
    answer = objective.target(data, noise, ends)
    values = [
        objective.weight(ends),
        answer,
        *objective.solve(answer, objective.path.interpolate(data, noise, ends), ends),
    ]
    assert all(value.isfinite().all() for value in values)


def test_a_learned_variance_is_answered_behind_the_prediction() -> None:
    answer = torch.randn(5, 8)
    fixed, learned = Objective("ddpm_linear"), Objective("ddpm_linear", variance="learned")
    assert (fixed.answer_factor, learned.answer_factor) == (1, 2)
    assert fixed.split(answer) == (answer, None)
    prediction, v = learned.split(answer)
    assert torch.equal(prediction, answer[:, :4])
    assert torch.equal(v, answer[:, 4:])


@pytest.mark.parametrize("path", ["rectified_flow", "trigonometric"])
def test_the_variance_of_a_path_without_steps_is_not_learned(path: str) -> None:
    message = f"variance = 'learned' needs path = 'ddpm_linear' or 'ddpm_cosine': '{path}' has no steps"
    with pytest.raises(ValueError, match=message):
        Objective(path, variance="learned")


def test_all_of_a_recipe_s_objective_is_used() -> None:
    config = ObjectiveConfig(
        "ddpm_cosine", "v", "min_snr", weight_floor=0.2, min_snr_gamma=3.0, sigmoid_bias=-2.0, variance="learned"
    )
    assert Objective.of(config) == Objective("ddpm_cosine", "v", "min_snr", 0.2, 3.0, -2.0, "learned")


@pytest.mark.parametrize("changed", [{"path_name": "x"}, {"prediction": "x"}, {"weighting": "x"}, {"variance": "x"}])
def test_unknown_names_are_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="= 'x': none of "):
        Objective(**changed)


@pytest.mark.parametrize("path", ["rectified_flow", "trigonometric"])
def test_where_an_answer_adds_nothing_the_point_is_noise_or_data_alone(path: str) -> None:
    """A prediction of noise says nothing of the data in pure noise, and one of data nothing of noise in pure data."""
    point, answer = torch.randn(5), torch.randn(5)
    data, noise = Objective(path, "noise").solve(answer, point, torch.ones(5))
    torch.testing.assert_close((data, noise), (torch.zeros(5), point), atol=1e-4, rtol=0)
    data, noise = Objective(path, "x0").solve(answer, point, torch.zeros(5))
    torch.testing.assert_close((data, noise), (point, torch.zeros(5)), atol=1e-4, rtol=0)
    data, _ = Objective(path, "x0").solve(answer, point, torch.ones(5))
    torch.testing.assert_close(data, answer)
