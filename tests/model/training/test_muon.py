"""Muon's update is the orthogonal factor of its momentum, and it descends."""

import torch

from model.training.muon import Muon, orthogonalise


def test_orthogonalised_matrices_have_singular_values_near_one_and_the_same_directions():
    for shape in ((12, 40), (40, 12)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        result = orthogonalise(matrix)
        values = torch.diagonal(u.T @ result @ v.T)
        assert values.min() > 0.6
        assert values.max() < 1.3
        torch.testing.assert_close(u @ torch.diag(values) @ v, result, rtol=1e-3, atol=1e-3)


def test_it_solves_a_least_squares_problem_over_a_kernel():
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(6, 4, 3, 3, generator=generator)
    kernel = torch.zeros_like(target).requires_grad_()
    optimizer = Muon([kernel], lr=0.1)
    losses = []
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        loss = (kernel - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
