"""Averages of any length from two that were kept, against sums written out step by step."""

import numpy as np
import pytest

from model.training.post_hoc import Profile, combination, decay_of, exponent_of

STEPS = 2000
LENGTHS = (0.05, 0.1)


def profile(length: float, step: int = STEPS) -> np.ndarray:
    """Weights of the steps 1 to `STEPS` in an average up to `step`."""
    steps = np.arange(1, STEPS + 1)
    weights = np.where(steps <= step, steps ** exponent_of(length), 0.0)
    return weights / weights.sum()


@pytest.mark.parametrize("length", [0.02, 0.05, 0.1, 0.25])
def test_the_length_is_the_deviation_of_the_profile(length):
    steps, weights = np.arange(1, STEPS + 1), profile(length)
    mean = (weights * steps).sum()
    assert np.sqrt((weights * (steps - mean) ** 2).sum()) / STEPS == pytest.approx(length, rel=2e-3)


def test_published_exponents():
    """EDM2, section 3.1: relative lengths of 5% and 10% are exponents of 16.97 and 6.94."""
    assert exponent_of(0.05) == pytest.approx(16.97, abs=0.005)
    assert exponent_of(0.10) == pytest.approx(6.94, abs=0.005)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.2887, 1.0])
def test_a_length_that_no_profile_has_is_refused(length):
    with pytest.raises(ValueError, match="must be above 0 and below"):
        exponent_of(length)


def test_steps_are_taken_in_as_the_profile_says():
    weights = np.zeros(STEPS)
    for step in range(1, STEPS + 1):
        decay = decay_of(exponent_of(0.1), step)
        weights *= decay
        weights[step - 1] += 1 - decay
    assert np.abs(weights - profile(0.1)).sum() < 0.01
    assert weights[0] < 1e-12  # of the first, which is as random as the start, nothing is left


def test_the_first_step_is_all_of_the_average():
    assert decay_of(exponent_of(0.1), 1) == 0.0


@pytest.mark.parametrize("length", [0.05, 0.07, 0.1, 0.13])
@pytest.mark.parametrize("step", [STEPS, 1500])
def test_any_length_is_a_combination_of_what_was_kept(length, step):
    kept = [(kept_step, of) for kept_step in range(125, STEPS + 1, 125) for of in LENGTHS]
    factors = combination([Profile(at, exponent_of(of)) for at, of in kept], Profile(step, exponent_of(length)))
    made = sum(factor * profile(of, at) for factor, (at, of) in zip(factors, kept, strict=True))
    assert factors.sum() == pytest.approx(1.0)
    assert np.abs(made - profile(length, step)).sum() < 0.03


def test_what_was_kept_comes_back_as_it_is():
    kept = [Profile(1000, exponent_of(0.1)), Profile(2000, exponent_of(0.05)), Profile(2000, exponent_of(0.1))]
    np.testing.assert_allclose(combination(kept, kept[1]), [0, 1, 0], atol=1e-8)


def test_later_steps_than_the_wanted_one_are_not_used():
    kept = [Profile(1000, 6.0), Profile(2000, 6.0)]
    assert combination(kept, Profile(1000, 8.0)).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="no average was kept up to step 500"):
        combination(kept, Profile(500, 8.0))
