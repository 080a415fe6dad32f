"""Aesthetic score of a clip: a head of linear layers on the image embeddings of an open_clip model.

LAION's heads ("improved aesthetic predictor" and its simpler forerunners) take the unit image embedding of CLIP
ViT-L/14 and give about 1 to 10. The improved one is five linear layers with dropout and nothing else between them
(768 -> 1024 -> 128 -> 64 -> 16 -> 1, keys `layers.0.weight`, ...), the simple ones a single layer (`weight`, `bias`).

cosmos-curate (`AestheticFilterStage`) scores one frame a second and takes their mean or least. With the same frames,
whole and at full size, LAION's weights and `ViT-L-14-quickgelu/openai`, the definition here is theirs. (OpenAI's
weights were trained with QuickGELU, which open_clip's plain `ViT-L-14` does not have.)
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model.readers.clip import load_clip
from schemas.errors import UsageError
from schemas.recipe.aesthetic import AestheticConfig

BATCH_FRAMES = 32
KEY = re.compile(r"(?:layers\.(\d+)\.)?(weight|bias)")


class AestheticMeasure:
    """Loads model and head once; then frames of a clip in, columns of `schemas.tables.measures.Aesthetic` out.

    Raises:
        UsageError: the head's file cannot be read, is no chain of linear layers, or does not fit the model.
        ValueError: the image-text model cannot be loaded.
    """

    def __init__(self, config: AestheticConfig) -> None:
        self.config = config
        self._layers = [(weight.to(config.device), bias.to(config.device)) for weight, bias in load_head(config.head)]
        self._clip = load_clip(config.model, config.device)
        dim = self._embed(np.zeros((1, 32, 32, 3), np.uint8)).shape[1]
        if self._layers[0][0].shape[1] != dim:
            raise UsageError(
                f"aesthetic head {config.head} takes embeddings of {self._layers[0][0].shape[1]} numbers, "
                f"but model {config.model!r} gives {dim}: name the model that the head was fitted on"
            )

    @torch.inference_mode()
    def measure(self, frames: np.ndarray, times_s: list[float]) -> dict[str, float]:
        """Mean and lowest score over the frames.

        Args:
            frames: (T, H, W, 3) uint8 RGB, T >= 1.
            times_s: when each is shown; the score does not depend on it.
        Raises:
            ValueError: no frames.
        """
        if len(frames) == 0:
            raise ValueError("an aesthetic score needs at least one frame")
        scores = torch.cat([self._scores(frames[i : i + BATCH_FRAMES]) for i in range(0, len(frames), BATCH_FRAMES)])
        return {"aesthetic": float(scores.mean()), "aesthetic_min": float(scores.min())}

    def _scores(self, frames: np.ndarray) -> Tensor:
        """(T,) float32."""
        values = self._embed(frames)
        for weight, bias in self._layers:
            values = torch.nn.functional.linear(values, weight, bias)
        return values[:, 0].cpu()

    def _embed(self, frames: np.ndarray) -> Tensor:
        """Unit vectors, (T, D) float32."""
        inputs = torch.stack([self._clip.transform(Image.fromarray(frame)) for frame in frames])
        features = self._clip.model.encode_image(inputs.to(self.config.device)).float()
        return torch.nn.functional.normalize(features, dim=-1)


def load_head(path: str) -> list[tuple[Tensor, Tensor]]:
    """Weight (out, in) and bias (out,) of each linear layer in order, float32, from .safetensors or .pth.

    Raises:
        UsageError: names the file, and the shapes in it where they do not make a head with one output.
    """
    state = _load_state(path)
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in state.items())
    layers: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        match = KEY.fullmatch(name)
        if match is None:
            raise UsageError(f"aesthetic head {path}: {name!r} is not part of a chain of linear layers ({shapes})")
        layers.setdefault(int(match[1] or 0), {})[match[2]] = tensor.float()
    chain = [layers[number] for number in sorted(layers)]
    if not chain or any(layer.keys() != {"weight", "bias"} or layer["weight"].ndim != 2 for layer in chain):
        raise UsageError(f"aesthetic head {path}: each layer needs a weight and a bias ({shapes})")
    sizes = [chain[0]["weight"].shape[1], *(layer["weight"].shape[0] for layer in chain)]
    fits = all(
        layer["weight"].shape == (after, before) and layer["bias"].shape == (after,)
        for layer, before, after in zip(chain, sizes[:-1], sizes[1:], strict=True)
    )
    if not fits or sizes[-1] != 1:
        raise UsageError(f"aesthetic head {path}: the layers do not lead to one number ({shapes})")
    return [(layer["weight"], layer["bias"]) for layer in chain]


def _load_state(path: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UsageError(f"aesthetic head {path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UsageError(f"aesthetic head {path} holds no table of tensors")
    return dict(state)
