"""diffusers' schedulers: which one samples for an objective, with what settings, and at which noise levels.

A scheduler of theirs and a sampler of ours take the same steps where they go by the same noise levels:
`FlowMatchEulerDiscreteScheduler` and `euler`, `DDIMScheduler` and `ddim`. Ours are spread evenly down to none; those of
the first end with a step from one level of its thousand, and those of the second are not shifted by size.
"""

from __future__ import annotations

from typing import Any

from model.diffusion.objectives import Objective
from model.diffusion.paths import PATHS, Discrete, Path
from model.diffusion.timesteps import shift_timestep

FLOW, DDIM = "FlowMatchEulerDiscreteScheduler", "DDIMScheduler"
NUM_LEVELS = 1000
BETA_SCHEDULES = {"ddpm_linear": "linear", "ddpm_cosine": "squaredcos_cap_v2"}
PREDICTION_TYPES = {"noise": "epsilon", "x0": "sample", "v": "v_prediction"}


def scheduler_settings(objective: Objective, shift: float) -> dict[str, Any]:
    """The settings of the scheduler for an objective.

    Args:
        shift: of the timesteps, for clips of one size.
    Raises:
        ValueError: there is no scheduler for it; the message starts with the key of the objective.
    """
    name, prediction = objective.path_name, objective.prediction
    if name == "rectified_flow":
        if prediction != "velocity":
            raise ValueError(f"prediction = {prediction!r}: on rectified_flow {FLOW} takes only 'velocity'")
        return {"_class_name": FLOW, "num_train_timesteps": NUM_LEVELS, "shift": shift}
    if name not in BETA_SCHEDULES:
        raise ValueError(f"path = {name!r}: diffusers has schedulers for rectified_flow, {', '.join(BETA_SCHEDULES)}")
    if prediction not in PREDICTION_TYPES:
        raise ValueError(f"prediction = {prediction!r}: on {name} {DDIM} takes only {', '.join(PREDICTION_TYPES)}")
    return {
        "_class_name": DDIM,
        "num_train_timesteps": NUM_LEVELS,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "beta_schedule": BETA_SCHEDULES[name],
        "prediction_type": PREDICTION_TYPES[prediction],
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "timestep_spacing": "trailing",
    }


def published_timesteps(path: Path, num_steps: int, shift: float) -> list[float]:
    """num_steps + 1 falling timesteps from 1 to 0, those of the path's scheduler.

    `DDIMScheduler` keeps to them where 1000 is a multiple of the steps.

    Raises:
        ValueError: a path that no scheduler is for, or fewer than one step.
    """
    if num_steps < 1:
        raise ValueError(f"sampling needs at least one step, got {num_steps}")
    if isinstance(path, Discrete):
        return [round(NUM_LEVELS * (1 - i / num_steps)) / NUM_LEVELS for i in range(num_steps + 1)]
    if path is not PATHS["rectified_flow"]:
        raise ValueError(f"spacing = 'diffusers': none of its schedulers is for a {type(path).__name__} path")
    last = shift_timestep(1 / NUM_LEVELS, shift)  # which is shifted once more below, as there
    levels = [1 + (last - 1) * i / max(num_steps - 1, 1) for i in range(num_steps)]
    return [*(shift_timestep(level, shift) for level in levels), 0.0]
