"""Patches are blocks of the latent in order, and fold back."""

from itertools import product

import pytest
import torch

from model.packing.patches import grid_shape, num_tokens, patchify, unpatchify


@pytest.mark.parametrize("patch", [(1, 2, 2), (2, 3, 5)])
def test_tokens_are_blocks_in_order_of_time_row_and_column(patch):
    latent = torch.randn(3, 4, 6, 10)
    pt, ph, pw = patch
    blocks = [
        latent[:, t : t + pt, y : y + ph, x : x + pw].flatten()
        for t, y, x in product(range(0, 4, pt), range(0, 6, ph), range(0, 10, pw))
    ]
    assert torch.equal(patchify(latent, patch), torch.stack(blocks))


def test_unpatchify_undoes_patchify():
    latent = torch.randn(16, 4, 6, 10)
    assert torch.equal(unpatchify(patchify(latent, (2, 3, 5)), latent.shape, (2, 3, 5)), latent)


def test_tokens_are_counted_along_each_axis():
    assert grid_shape((16, 4, 6, 10), (2, 3, 5)) == (2, 2, 2)
    assert grid_shape((16, 1, 2, 2), (1, 2, 2)) == (1, 1, 1)
    assert num_tokens((16, 3, 4, 10), (1, 2, 2)) == 3 * 2 * 5


@pytest.mark.parametrize("shape", [(16, 3, 4, 4), (16, 2, 5, 4), (16, 2, 4, 5), (16, 0, 4, 4)])
def test_a_latent_that_does_not_divide_is_refused(shape):
    with pytest.raises(ValueError, match="does not divide into patches"):
        num_tokens(shape, (2, 2, 2))
