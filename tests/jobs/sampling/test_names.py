"""Names that the command line and recipes allow are those that there are."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from jobs.sample import sample
from model.diffusion.objectives import PREDICTIONS, WEIGHTINGS
from model.diffusion.paths import PATHS
from model.diffusion.samplers import SAMPLERS
from model.diffusion.timesteps import DENSITIES
from schemas.recipe.train import ObjectiveConfig

RECIPE = get_type_hints(ObjectiveConfig)


@pytest.mark.parametrize(
    ("allowed", "there"),
    [
        (RECIPE["path"], PATHS),
        (RECIPE["prediction"], PREDICTIONS),
        (RECIPE["weighting"], WEIGHTINGS),
        (RECIPE["timesteps"], DENSITIES),
    ],
)
def test_recipes_allow_what_there_is(allowed: Any, there: dict[str, Any]) -> None:
    assert set(get_args(allowed)) == there.keys()


def test_so_does_the_command_line() -> None:
    assert set(get_args(get_type_hints(sample)["sampler"])) == SAMPLERS.keys()
