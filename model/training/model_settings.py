"""The settings of a recipe's transformer, where they are those of a published one or of a trained one."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from model.builtin import run_folder
from model.training.exported import config_in
from model.transformer.presets import PRESETS
from schemas.errors import did_you_mean
from schemas.recipe.train import ModelConfig

OWN = tuple(field.name for field in fields(ModelConfig) if field.name != "preset")


def whole_model(model: ModelConfig) -> ModelConfig:
    """The settings with those of their preset in place, and no preset.

    Raises:
        ValueError: there is no such preset; the message starts with the key.
    """
    if not model.preset:
        return model
    of_preset = _settings(model.preset)
    usual = asdict(ModelConfig())
    changed = {name: value for name, value in asdict(model).items() if name in OWN and value != usual[name]}
    return ModelConfig(**{name: of_preset[name] for name in OWN if name in of_preset} | changed)


def with_preset(model: ModelConfig, preset: str) -> ModelConfig:
    """The settings with a preset, unless they name one."""
    return model if model.preset else replace(model, preset=preset)


def _settings(preset: str) -> dict[str, Any]:
    if preset in PRESETS:
        return PRESETS[preset]
    try:
        settings = asdict(config_in(run_folder(preset)))
    except (OSError, ValueError) as error:
        hint = "" if Path(preset).exists() else did_you_mean(preset, PRESETS)
        is_name = hint or not Path(preset).exists()
        names = f"no preset and no folder{hint or '; presets are ' + ', '.join(PRESETS)}"
        raise ValueError(f"preset = {preset!r}: {names if is_name else error}") from error
    return settings | {"rotary_dims": settings["rotary_dims"] or ()}
