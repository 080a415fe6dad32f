"""A transformer of diffusers, read from its folder, or written into one.

FOLDER/config.json, FOLDER/diffusion_pytorch_model*.safetensors; of a whole pipeline, these in FOLDER/transformer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoint import read_json, write_json
from model.transformer.config import TransformerConfig
from model.transformer.published import dit, wan
from model.transformer.published.weights import to_ours, to_theirs
from model.transformer.transformer import Transformer

PUBLISHED: dict[str, ModuleType] = {module.CLASS: module for module in (dit, wan)}
WEIGHTS = "diffusion_pytorch_model.safetensors"
PARTS = "diffusion_pytorch_model*.safetensors"


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


def write_published(folder: Path | str, transformer: Transformer, class_name: str, **more: Any) -> None:
    """Write a transformer as diffusers does.

    Args:
        class_name: of diffusers, one of `PUBLISHED`.
        more: settings of the class that do not follow from the transformer, as `rows` of a DiT.
    Raises:
        ValueError: the class does not express this transformer.
    """
    module, folder = PUBLISHED[class_name], Path(folder)
    settings = module.settings_of(transformer.config, **more)
    if module.config_of(settings) != transformer.config:
        raise ValueError(f"{class_name} does not express this transformer: {transformer.config}")
    folder.mkdir(parents=True, exist_ok=True)
    weights = to_theirs(module.entries(transformer.config), transformer.state_dict())
    with torch.no_grad():
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    write_json(folder / "config.json", settings)
