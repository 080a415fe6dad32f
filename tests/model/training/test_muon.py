"""Muon's update is the orthogonal factor of its momentum, and it descends."""

import pytest
import torch

from model.training.muon import Muon, orthogonalise


def random_matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (9, 9)])
def test_directions_stay_and_singular_values_go_through_the_polynomial_five_times(shape):
    """Jordan et al. 2024: s -> 3.4445 s - 4.775 s^3 + 2.0315 s^5, from values whose squares add up to one."""
    matrix = random_matrix(*shape)
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    values = values / values.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
    assert values.min() > 0.6
    assert values.max() < 1.3
    torch.testing.assert_close(orthogonalise(matrix), u @ values.diag() @ v, rtol=1e-3, atol=1e-4)


def test_each_matrix_of_a_stack_is_taken_by_itself():
    stack = torch.stack([random_matrix(6, 4), 100 * random_matrix(6, 4, seed=1)])
    torch.testing.assert_close(orthogonalise(stack), torch.stack([orthogonalise(one) for one in stack]))


def test_matrices_of_one_shape_and_of_others_are_stepped_as_each_alone():
    shapes = [(6, 4), (6, 4), (4, 6)]
    together = [random_matrix(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    alone = [parameter.detach().clone().requires_grad_() for parameter in together]
    for i, (one, other) in enumerate(zip(together, alone, strict=True)):
        one.grad = other.grad = random_matrix(*shapes[i], seed=10 + i)
        Muon([other], lr=0.1).step()
    Muon(together, lr=0.1).step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)


def test_nothing_stays_nothing():
    assert not orthogonalise(torch.zeros(3, 4)).any()


@pytest.mark.parametrize("shape", [(6, 2, 1, 2), (2, 6)])
def test_a_step_is_nesterov_momentum_made_orthogonal(shape):
    parameter = torch.randn(shape).requires_grad_()
    expected, velocity = parameter.detach().clone(), torch.zeros(shape)
    optimizer = Muon([parameter], lr=0.1)
    rows = shape[0]
    columns = expected.numel() // rows
    for seed in range(3):
        gradient = random_matrix(rows, columns, seed).view(shape)
        parameter.grad = gradient.clone()
        optimizer.step()
        velocity = 0.95 * velocity + 0.05 * gradient
        update = orthogonalise((0.05 * gradient + 0.95 * velocity).view(rows, columns)).view(shape)
        expected -= 0.1 * max(1.0, rows / columns) ** 0.5 * update
        torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize("shape", [(24, 8), (8, 24)])
def test_steps_like_adamws_are_those_of_torch(shape):
    """Whose Muon computes in bfloat16, of eight bits."""
    ours, theirs = (random_matrix(*shape, seed=9).requires_grad_() for _ in range(2))
    options = {"lr": 0.1, "weight_decay": 0.5}
    optimizers = [
        Muon([ours], like_adamw=True, **options),
        torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **options),
    ]
    start = ours.detach().clone()
    for seed in range(3):
        ours.grad, theirs.grad = random_matrix(*shape, seed), random_matrix(*shape, seed)
        for optimizer in optimizers:
            optimizer.step()
    assert (ours - start).square().mean().sqrt() > 0.1
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=0.01)


def test_a_parameter_without_a_gradient_stays():
    parameter = random_matrix(3, 4).requires_grad_()
    before = parameter.detach().clone()
    Muon([parameter], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(parameter.detach(), before)


def test_it_solves_a_least_squares_problem_over_a_kernel():
    target = random_matrix(6, 36, seed=1).view(6, 4, 3, 3)
    kernel = torch.zeros_like(target).requires_grad_()
    optimizer = Muon([kernel], lr=0.1)
    losses = []
    for step in range(100):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 100)
        loss = (kernel - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
