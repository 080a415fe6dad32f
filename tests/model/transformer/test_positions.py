"""Rotary positions keep lengths and depend on differences only; added ones are those of DiT."""

import cmath
import math

import pytest
import torch

from model.transformer.positions import axis_dims, rotary_angles, rotate, sine_cosine


def at(seconds: float, row: int, column: int, head_dim: int = 32) -> torch.Tensor:
    return rotary_angles(torch.tensor([[4 * seconds, row, column]]), axis_dims(head_dim))


@pytest.mark.parametrize(
    ("head_dim", "dims"), [(6, (2, 2, 2)), (16, (4, 6, 6)), (32, (8, 12, 12)), (64, (16, 24, 24)), (128, (32, 48, 48))]
)
def test_time_has_a_quarter_of_the_channels_and_height_and_width_have_equal_shares(head_dim, dims):
    assert axis_dims(head_dim) == dims


@pytest.mark.parametrize("head_dim", [4, 7, 33])
def test_impossible_heads_are_refused(head_dim):
    with pytest.raises(ValueError, match="head dimension"):
        axis_dims(head_dim)


def test_angles_are_positions_over_geometric_wavelengths():
    """16 channels: 2 pairs for time, 3 for the row and 3 for the column."""
    time = [4 * 1.5, 4 * 1.5 / 10_000 ** (1 / 2)]
    row, column = ([place / 10_000 ** (i / 3) for i in range(3)] for place in (5, 7))
    angles = at(1.5, 5, 7, head_dim=16)
    assert angles.dtype == torch.float32
    torch.testing.assert_close(angles, torch.tensor([[*time, *row, *column]]))


def test_rotation_is_multiplication_by_a_complex_phase():
    x = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    angles = at(1.5, 3, 7)
    turned = rotate(x, angles)
    for head in range(3):
        for i, angle in enumerate(angles[0].tolist()):
            expected = complex(*x[0, head, 2 * i : 2 * i + 2]) * cmath.exp(1j * angle)
            assert abs(complex(*turned[0, head, 2 * i : 2 * i + 2]) - expected) < 1e-5


def test_half_precision_is_turned_in_float32_and_stays_half_precision():
    x = torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(rotate(x, at(1.5, 3, 7)), rotate(x.float(), at(1.5, 3, 7)).bfloat16())


def test_scores_depend_on_differences_of_position():
    q, k = torch.randn(2, 1, 1, 32, generator=torch.Generator().manual_seed(1))

    def score(a: tuple, b: tuple) -> torch.Tensor:
        return (rotate(q, at(*a)) * rotate(k, at(*b))).sum()

    here = score((0.5, 2, 3), (1.25, 5, 1))
    torch.testing.assert_close(here, score((2.5, 12, 23), (3.25, 15, 21)), rtol=1e-4, atol=1e-4)
    assert abs(here - score((0.5, 2, 3), (2.25, 5, 1))) > 1e-3


def test_added_positions_are_those_of_dit_with_a_frame_added_where_there_is_time():
    """Column, then row; sines, then cosines; wavelengths from 2 pi to 10,000 times that."""
    place = torch.tensor([[5, 2, 3]])
    waves = [10_000 ** -(i / 3) for i in range(3)]
    expected = [f(x * wave) for x in (3, 2) for f in (math.sin, math.cos) for wave in waves]
    torch.testing.assert_close(sine_cosine(place, 12, with_time=False), torch.tensor([expected]))
    in_time = [f(5 * 10_000 ** -(i / 6)) for f in (math.sin, math.cos) for i in range(6)]
    with_time = [a + b for a, b in zip(expected, in_time, strict=True)]
    torch.testing.assert_close(sine_cosine(place, 12, with_time=True), torch.tensor([with_time]))
