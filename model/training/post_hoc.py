"""Averages of weights whose length is chosen after training (EDM2, Karras et al. 2024, section 3).

An average weighs the weights of step s, of steps 1 to t, by s^g: the longer a run, the longer its average. Its length
is the standard deviation of that profile in shares of t, which follows from the exponent g. A run keeps two averages
and snapshots of them; any other average, within reason, is a combination of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def exponent_of(length: float) -> float:
    """The exponent g of an average of a relative length s: the root of (g + 1) / ((g + 2)^2 (g + 3)) = s^2.

    Args:
        length: between 0 and .288, where g is 0 and all steps weigh the same.
    Raises:
        ValueError: it is not.
    """
    if not 0 < length < 12**-0.5:
        raise ValueError(f"an average of relative length {length}: must be above 0 and below .288")
    inverse = length**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def decay_of(exponent: float, step: int) -> float:
    """The share that the average keeps of itself as it takes in the weights of a step, from 1: (1 - 1 / t)^(g + 1)."""
    return (1 - 1 / step) ** (exponent + 1)


@dataclass(frozen=True)
class Profile:
    """How an average weighs steps: up to which, and by which exponent."""

    step: int
    exponent: float


def combination(kept: Sequence[Profile], wanted: Profile) -> np.ndarray:
    """The factors by which averages that were kept are added up to one that comes closest to another, (n,), sum 1.

    Closest is the profile of least squared difference, over continuous time.

    Raises:
        ValueError: none is kept up to the wanted step.
    """
    usable = np.array([profile.step <= wanted.step for profile in kept])
    if not usable.any():
        raise ValueError(f"no average was kept up to step {wanted.step}")
    among = [profile for profile, use in zip(kept, usable, strict=True) if use]
    products = np.array([[_product(one, other) for other in among] for one in among])
    factors = np.linalg.lstsq(products, np.array([_product(one, wanted) for one in among]), rcond=1e-12)[0]
    every = np.zeros(len(kept))
    every[usable] = factors / factors.sum()
    return every


def _product(one: Profile, other: Profile) -> float:
    """The integral of the product of two profiles, each of which has the integral 1.

    With a = g + 1 of the one up to t, and b and u of the other, it is a b / (a + b - 1) min^(a + b - 1) / (t^a u^b).
    """
    a, b = one.exponent + 1, other.exponent + 1
    least = min(one.step, other.step)
    return a * b / (a + b - 1) / least * (least / one.step) ** a * (least / other.step) ** b
