"""The flow path, its sampler and its timesteps, by identities and by formulas written out."""

import math
from itertools import pairwise

import pytest
import torch

from model.diffusion.guidance import guide
from model.diffusion.paths import draw_timestep, interpolate, shift_timestep, size_shift, velocity
from model.diffusion.samplers import euler, timesteps
from model.diffusion.tasks import TASK_SHARES, draw_clean_frames


def test_velocity_is_the_derivative_of_the_path():
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    slope = (interpolate(data, noise, 0.6) - interpolate(data, noise, 0.2)) / 0.4
    torch.testing.assert_close(slope, velocity(data, noise))
    assert torch.equal(interpolate(data, noise, 0.0), data)
    assert torch.equal(interpolate(data, noise, 1.0), noise)


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_euler_follows_a_straight_path_exactly(num_steps):
    data, noise = torch.randn(2, 50, dtype=torch.float64)
    end = euler(lambda x, t: velocity(data, noise), noise, timesteps(num_steps, shift=3.0))
    torch.testing.assert_close(end, data)


def test_euler_on_a_linear_field_gives_the_product_of_its_steps():
    times = timesteps(5, shift=2.0)
    factor = math.prod(1 + 0.7 * (b - a) for a, b in pairwise(times))
    end = euler(lambda x, t: 0.7 * x, torch.ones(1, dtype=torch.float64), times)
    assert end.item() == pytest.approx(factor, rel=1e-12)


def test_euler_converges_on_the_flow_to_a_point():
    """For data at one point c the exact velocity at (x, t) is (x - c) / t."""
    end = euler(lambda x, t: (x - 3.0) / t, torch.randn(20, dtype=torch.float64), timesteps(10, shift=1.0))
    torch.testing.assert_close(end, torch.full((20,), 3.0, dtype=torch.float64))


def test_shifted_timesteps_are_those_of_a_noise_schedule_scaled_by_the_shift():
    """Shifting by s multiplies the noise-to-data ratio t / (1 - t) by s."""
    for t in (0.1, 0.5, 0.9):
        shifted = shift_timestep(t, 3.0)
        assert shifted / (1 - shifted) == pytest.approx(3.0 * t / (1 - t))
    assert timesteps(4, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_no_steps_is_an_error():
    with pytest.raises(ValueError, match="at least one step"):
        timesteps(0, 1.0)


def test_shift_grows_with_size():
    assert size_shift(256, 1) == pytest.approx(1.0)
    assert size_shift(4096, 1) == pytest.approx(3.0)
    assert size_shift(4096, 4) == pytest.approx(6.0)


def test_timesteps_are_logit_normal_with_a_uniform_tenth():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([draw_timestep(generator, 1.0) for _ in range(20_000)])
    assert drawn.median().item() == pytest.approx(0.5, abs=0.01)
    tail = 0.9 * (1 - 0.5 * (1 + math.erf(math.log(0.95 / 0.05) / math.sqrt(2)))) + 0.1 * 0.05
    assert (drawn > 0.95).float().mean().item() == pytest.approx(tail, abs=0.002)


def test_guidance_extrapolates():
    conditional, unconditional = torch.randn(2, 5)
    assert torch.equal(guide(conditional, unconditional, 0.0), unconditional)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, 3.0), 3 * conditional - 2 * unconditional)


def test_tasks_are_drawn_in_their_shares():
    generator = torch.Generator().manual_seed(0)
    drawn = [tuple(draw_clean_frames(5, generator).tolist()) for _ in range(4000)]
    assert not any(all(clean) for clean in drawn)
    none = sum(not any(clean) for clean in drawn) / len(drawn)
    assert none == pytest.approx(TASK_SHARES["text"], abs=0.03)
    first_only = sum(clean == (True, False, False, False, False) for clean in drawn) / len(drawn)
    expected = TASK_SHARES["first_frame"] + TASK_SHARES["prefix"] / 4 + TASK_SHARES["scattered"] / 20
    assert first_only == pytest.approx(expected, abs=0.03)
    assert sum(TASK_SHARES.values()) == pytest.approx(1.0)


def test_an_image_is_never_given_clean():
    generator = torch.Generator().manual_seed(0)
    assert not any(draw_clean_frames(1, generator).any() for _ in range(50))
