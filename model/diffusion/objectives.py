"""What the network predicts of a point of the path, and how its error counts: an objective.

A prediction is a combination a x_0 + b noise of data and noise. Together with the point itself, which is
alpha x_0 + sigma noise, it says what both are. A weighting is a factor on the squared error of x_0, whatever is
predicted; so predictions and weightings are chosen apart from one another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model.diffusion.paths import PATHS, Discrete, Path
from schemas.recipe.train import ObjectiveConfig

LEAST_SIGMA = 1e-4
"""Where noise is divided by, so that a point that is almost data does not overflow."""


def _data(path: Path, timestep: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones_like(timestep), torch.zeros_like(timestep)


def _noise(path: Path, timestep: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(timestep), torch.ones_like(timestep)


def _v(path: Path, timestep: Tensor) -> tuple[Tensor, Tensor]:
    alpha, sigma = path.at(timestep)
    return -sigma, alpha


def _velocity(path: Path, timestep: Tensor) -> tuple[Tensor, Tensor]:
    return path.slopes_at(timestep)


PREDICTIONS: dict[str, Callable[[Path, Tensor], tuple[Tensor, Tensor]]] = {
    "x0": _data,
    "noise": _noise,
    "v": _v,
    "velocity": _velocity,
}
"""Coefficients (a, b) of data and noise: the data; the noise (Ho et al. 2020); alpha noise - sigma x_0 (Salimans & Ho
2022); and dx/dt along the path (Liu et al. 2023)."""


@dataclass(frozen=True)
class Objective:
    """A path, what is predicted on it, and the weight of its error.

    Raises:
        ValueError: a name that is not known, or a variance that cannot be learned on the path.
    """

    path_name: str = "rectified_flow"
    prediction: str = "velocity"
    weighting: str = "own"
    """`own`: the error of the prediction itself. `velocity`: that of the velocity, whatever is predicted, with
    sigma taken as no less than `weight_floor` (x_0-prediction with velocity loss: JiT, Li & He 2025). `min_snr`: the
    smaller of `min_snr_gamma` and alpha^2 / sigma^2 (Hang et al. 2023). `sigmoid`: of the noise's error, the sigmoid of
    `sigmoid_bias` less log alpha^2 / sigma^2 (Kingma & Gao 2023; Hoogeboom et al. 2024)."""
    weight_floor: float = 0.1
    min_snr_gamma: float = 5.0
    sigmoid_bias: float = -1.0
    variance: str = "fixed"
    """`learned`: the network answers also v, which says the variances of the steps (`model.diffusion.variance`)."""

    def __post_init__(self) -> None:
        for what, name, known in (
            ("path", self.path_name, PATHS),
            ("prediction", self.prediction, PREDICTIONS),
            ("weighting", self.weighting, WEIGHTINGS),
            ("variance", self.variance, ("fixed", "learned")),
        ):
            if name not in known:
                raise ValueError(f"{what} = {name!r}: none of {', '.join(known)}")
        if self.variance == "learned" and not isinstance(self.path, Discrete):
            of_steps = " or ".join(repr(name) for name, path in PATHS.items() if isinstance(path, Discrete))
            raise ValueError(
                f"variance = 'learned' needs path = {of_steps}: {self.path_name!r} has no steps to learn it of"
            )

    @classmethod
    def of(cls, config: ObjectiveConfig) -> Objective:
        """That of a recipe."""
        weights = {name: getattr(config, name) for name in ("weight_floor", "min_snr_gamma", "sigmoid_bias")}
        return cls(config.path, config.prediction, config.weighting, **weights, variance=config.variance)

    @property
    def path(self) -> Path:
        return PATHS[self.path_name]

    @property
    def answer_factor(self) -> int:
        """Values that the network answers for each that it is given."""
        return 2 if self.variance == "learned" else 1

    def split(self, answer: Tensor) -> tuple[Tensor, Tensor | None]:
        """The prediction in an answer, and behind it v if the variance is learned, along the last axis."""
        if self.variance == "fixed":
            return answer, None
        prediction, v = answer.chunk(2, dim=-1)
        return prediction, v

    def target(self, data: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """What the network should answer."""
        of_data, of_noise = PREDICTIONS[self.prediction](self.path, timestep)
        return of_data * data + of_noise * noise

    def solve(self, answer: Tensor, point: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Data and noise, as the network sees them.

        Args:
            answer: of the network, without v.
            point: of the path that it was shown.
            timestep: at an end where the answer adds nothing to the point, as a prediction of noise where there is
                nothing else, the point is noise alone or data alone, and the other is 0, the mean of both.
        """
        alpha, sigma, of_data, of_noise, determinant = self._system(timestep)
        data = (of_noise * point - sigma * answer) / determinant
        noise = (alpha * answer - of_data * point) / determinant
        is_end = torch.minimum(alpha, sigma) < LEAST_SIGMA
        adds_nothing = is_end & ((alpha * of_noise - sigma * of_data).abs() < LEAST_SIGMA)
        return torch.where(adds_nothing, alpha * point, data), torch.where(adds_nothing, sigma * point, noise)

    def weight(self, timestep: Tensor) -> Tensor:
        """Factor on the mean squared error of the network's answer."""
        if self.weighting == "own":
            return torch.ones_like(timestep)
        return WEIGHTINGS[self.weighting](self, timestep) * self.of_data_error(timestep)

    def of_data_error(self, timestep: Tensor) -> Tensor:
        """The squared error of x_0 for a squared error of 1 of what is predicted."""
        _, sigma, _, _, determinant = self._system(timestep)
        return (sigma / determinant).square()

    def _system(self, timestep: Tensor) -> tuple[Tensor, ...]:
        alpha, sigma = self.path.at(timestep)
        of_data, of_noise = PREDICTIONS[self.prediction](self.path, timestep)
        determinant = alpha * of_noise - sigma * of_data
        safe = torch.where(determinant.abs() < LEAST_SIGMA, determinant.sign() * LEAST_SIGMA, determinant)
        return alpha, sigma, of_data, of_noise, torch.where(safe == 0, LEAST_SIGMA, safe)


def _of_velocity(objective: Objective, timestep: Tensor) -> Tensor:
    alpha, sigma = objective.path.at(timestep)
    alpha_slope, sigma_slope = objective.path.slopes_at(timestep)
    return ((alpha * sigma_slope - sigma * alpha_slope) / sigma.clamp(min=objective.weight_floor)).square()


def _snr(objective: Objective, timestep: Tensor) -> Tensor:
    alpha, sigma = objective.path.at(timestep)
    return (alpha / sigma.clamp(min=LEAST_SIGMA)).square()


def _of_min_snr(objective: Objective, timestep: Tensor) -> Tensor:
    return _snr(objective, timestep).clamp(max=objective.min_snr_gamma)


def _of_sigmoid(objective: Objective, timestep: Tensor) -> Tensor:
    snr = _snr(objective, timestep)
    return snr * torch.sigmoid(objective.sigmoid_bias - snr.clamp(min=LEAST_SIGMA**2).log())


WEIGHTINGS: dict[str, Callable[[Objective, Tensor], Tensor]] = {
    "own": lambda objective, timestep: torch.ones_like(timestep),
    "velocity": _of_velocity,
    "min_snr": _of_min_snr,
    "sigmoid": _of_sigmoid,
}
"""Factors on the squared error of x_0."""
