"""A transformer of diffusers, read from its folder, or written into one.

FOLDER/config.json, FOLDER/diffusion_pytorch_model*.safetensors; of a whole pipeline, these in FOLDER/transformer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoint import read_json, write_json
from model.transformer.config import TransformerConfig
from model.transformer.positions import axis_dims
from model.transformer.published import dit, wan
from model.transformer.published.weights import to_ours, to_theirs
from model.transformer.transformer import Transformer

PUBLISHED: dict[str, ModuleType] = {module.CLASS: module for module in (dit, wan)}
WEIGHTS = "diffusion_pytorch_model.safetensors"
PARTS = "diffusion_pytorch_model*.safetensors"
TEXT_SETTINGS = ("text_dim", "text_projection", "pooled_text", "null_text", "text_refiner")
"""Which no transformer without text reads."""


@dataclass(frozen=True)
class PublishedFolder:
    """A folder with the config of a known class."""

    folder: Path
    settings: dict[str, Any]

    @property
    def module(self) -> ModuleType:
        return PUBLISHED[self.settings["_class_name"]]

    @property
    def config(self) -> TransformerConfig:
        """Of ours.

        Raises:
            ValueError: a variant that ours does not express.
        """
        return self.module.config_of(self.settings)

    def transformer(self) -> Transformer:
        """Ours with these weights, in their precision.

        Raises:
            ValueError: a variant that ours does not express, or other weights.
        """
        config = self.config
        theirs: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob(PARTS)):
            theirs |= load_file(path)
        if not theirs:
            raise ValueError(f"{self.folder} has no {PARTS}")
        ours = to_ours(self.module.entries(config), theirs, self.module.IGNORED)
        transformer = Transformer(config).to(next(iter(ours.values())).dtype)
        transformer.load_state_dict(ours)
        return transformer


def published_folder(folder: Path | str) -> PublishedFolder | None:
    """The transformer in a folder or in its `transformer`, if diffusers wrote one of a known class there."""
    for place in (Path(folder), Path(folder) / "transformer"):
        if (place / "config.json").is_file():
            settings = read_json(place / "config.json")
            if settings.get("_class_name") in PUBLISHED:
                return PublishedFolder(place, settings)
    return None


def published_class(config: TransformerConfig) -> str:
    """The class of diffusers that expresses a transformer.

    Raises:
        ValueError: there is none; the message starts with the settings that the one most like it does not have.
    """
    found = {name: differences(config, name) for name in PUBLISHED}
    nearest = min(found, key=lambda name: len(found[name]))
    if found[nearest]:
        raise ValueError(f"{'; '.join(found[nearest])}, which is that of diffusers' {nearest}")
    return nearest


def differences(config: TransformerConfig, class_name: str) -> list[str]:
    """The settings of a transformer that a class of diffusers does not have, each with what it has instead."""
    module = PUBLISHED[class_name]
    try:
        nearest = module.config_of(module.settings_of(config))
    except ValueError as error:
        return [str(error)]
    ours, theirs = _of_answers(config), _of_answers(nearest)
    both = ((name, value, theirs.get(name)) for name, value in ours.items())
    return [f"{name} = {here!r}, not {there!r}" for name, here, there in both if here != there]


def _of_answers(config: TransformerConfig) -> dict[str, Any]:
    """The settings that decide what a transformer answers, by name."""
    settings = asdict(config) | {"mlp_ratio": config.hidden / config.width}
    settings["rotary_dims"] = (config.rotary_dims or axis_dims(config.head_dim)) if config.is_rotary else None
    unread = TEXT_SETTINGS if config.text == "none" else ()
    return {name: value for name, value in settings.items() if name not in unread}


def write_published(folder: Path | str, transformer: Transformer, class_name: str, *, rows: int = 0) -> None:
    """Write a transformer as diffusers does.

    Args:
        class_name: of diffusers, one of `PUBLISHED`.
        rows: of the latents of a DiT, which are squares there.
    Raises:
        ValueError: the class does not express this transformer.
    """
    module, folder = PUBLISHED[class_name], Path(folder)
    if others := differences(transformer.config, class_name):
        raise ValueError(f"{class_name} does not express this transformer: {'; '.join(others)}")
    folder.mkdir(parents=True, exist_ok=True)
    weights = to_theirs(module.entries(transformer.config), transformer.state_dict())
    with torch.no_grad():
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    write_json(folder / "config.json", module.settings_of(transformer.config, rows=rows))
