"""The aesthetic head on the built-in image-text model, against its layers written out in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.measure.clip.aesthetic import AestheticMeasure, load_head
from pipeline.measure.clip.embedding import ClipEmbedder
from pipeline.measure.registry import clip_measure_fingerprints
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.recipe.aesthetic import AestheticConfig

DIM = 128
LAYERS = (0, 2, 4, 6, 7)
"""Where the linear layers stand in the published head, dropout between them."""


def frames(num: int) -> np.ndarray:
    """Pictures that differ."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (num, 4, 6, 3), np.uint8)
    return coarse.repeat(16, 1).repeat(16, 2)


def improved_head(sizes: tuple[int, ...] = (DIM, 64, 32, 16, 8, 1)) -> dict[str, torch.Tensor]:
    """Random weights under the names of LAION's improved predictor."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for number, before, after in zip(LAYERS, sizes[:-1], sizes[1:], strict=True):
        state[f"layers.{number}.weight"] = torch.randn(after, before, generator=generator) / before**0.5
        state[f"layers.{number}.bias"] = torch.randn(after, generator=generator)
    return state


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_mean_and_least_are_those_of_the_head_on_unit_embeddings(tmp_path: Path, suffix: str) -> None:
    path, state = tmp_path / f"head{suffix}", improved_head()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    clip = frames(35)
    values = ClipEmbedder().embed_frames([frame[None] for frame in clip]).astype(np.float64)
    assert np.allclose(np.linalg.norm(values, axis=1), 1)
    for number in LAYERS:
        weight, bias = (state[f"layers.{number}.{name}"].numpy().astype(np.float64) for name in ("weight", "bias"))
        values = values @ weight.T + bias
    scores = AestheticMeasure(AestheticConfig(str(path), "builtin")).measure(clip, [0.0] * 35)
    assert np.ptp(values) > 0.01
    assert scores["aesthetic"] == pytest.approx(values.mean(), abs=1e-4)
    assert scores["aesthetic_min"] == pytest.approx(values.min(), abs=1e-4)


def test_a_single_layer_is_a_head(tmp_path: Path) -> None:
    path = tmp_path / "linear.pth"
    torch.save(torch.nn.Linear(DIM, 1).requires_grad_(False).state_dict() | {"bias": torch.tensor([5.0])}, path)
    ((weight, bias),) = load_head(str(path))
    values = ClipEmbedder().embed_frames([frames(1)]) @ weight.numpy().T + bias.numpy()
    scores = AestheticMeasure(AestheticConfig(str(path), "builtin")).measure(frames(1), [0.0])
    assert scores["aesthetic"] == scores["aesthetic_min"] == pytest.approx(float(values[0, 0]), abs=1e-5)


def test_the_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    fingerprints = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        save_file(torch.nn.Linear(DIM, 1).requires_grad_(False).state_dict(), tmp_path / "head.safetensors")
        recipe = Recipe(aesthetic=AestheticConfig(str(tmp_path / "head.safetensors"), "builtin"))
        fingerprints.append(clip_measure_fingerprints(recipe)["aesthetic"])
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


WRONG = {
    "another model's size": (improved_head((768, 1024, 128, 64, 16, 1)), "768 numbers"),
    "layers that do not join": (improved_head() | {"layers.2.weight": torch.zeros(32, 63)}, r"\(32, 63\)"),
    "two outputs": (improved_head((DIM, 64, 32, 16, 8, 2)), "one number"),
    "no bias": ({"weight": torch.zeros(1, DIM)}, "a weight and a bias"),
    "another network": (improved_head() | {"conv.weight": torch.zeros(1)}, "conv.weight"),
    "nothing": ({}, "needs a weight"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_head_that_does_not_fit_is_named_with_its_shapes(tmp_path: Path, name: str) -> None:
    state, says = WRONG[name]
    path = tmp_path / "head.pth"
    torch.save(state, path)
    with pytest.raises(UsageError, match=says) as caught:
        AestheticMeasure(AestheticConfig(str(path), "builtin"))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["head.safetensors", "head.pth"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for content in (None, b"", b"no weights at all"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=name):
            load_head(str(path))
