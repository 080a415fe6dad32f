"""The safety score of a small classifier with random weights, against transformers' own answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from pipeline.measure.clip.safety import SafetyMeasure
from pipeline.measure.registry import clip_measure_fingerprints
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.recipe.safety import SafetyConfig

TWO = ("normal", "nsfw")
FIVE = ("drawings", "Hentai", "neutral", "Porn", "sexy")


def save_classifier(folder: Path, labels: tuple[str, ...], problem_type: str | None = None) -> Path:
    """A ViT of 32 px and random weights large enough that its answers differ."""
    torch.manual_seed(len(labels))
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type=problem_type,
        initializer_range=0.7,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def frames(num: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (num, 5, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)


def logits(folder: Path, clip: np.ndarray) -> np.ndarray:
    """What the model says of each frame, asked one by one, (T, labels)."""
    model = ViTForImageClassification.from_pretrained(folder).eval()
    processor = ViTImageProcessor.from_pretrained(folder)
    with torch.no_grad():
        answers = [model(**processor(images=Image.fromarray(f), return_tensors="pt")).logits[0] for f in clip]
    return torch.stack(answers).double().numpy()


@pytest.mark.parametrize(("labels", "unsafe"), [(TWO, [1]), (FIVE, [1, 3, 4])])
def test_the_score_is_the_largest_probability_of_the_unsafe_classes(
    tmp_path: Path, labels: tuple[str, ...], unsafe: list[int]
) -> None:
    folder, clip = save_classifier(tmp_path / "model", labels), frames(33)
    odds = np.exp(logits(folder, clip))
    probability = (odds[:, unsafe].sum(1) / odds.sum(1)).max()
    score = SafetyMeasure(SafetyConfig(str(folder))).measure(clip, [0.0] * 33)
    assert 0.01 < probability < 0.9999
    assert score == {"nsfw": pytest.approx(probability, abs=1e-4)}


def test_independent_labels_do_not_add_up(tmp_path: Path) -> None:
    folder, clip = save_classifier(tmp_path / "model", FIVE, "multi_label_classification"), frames(3)
    probability = (1 / (1 + np.exp(-logits(folder, clip)[:, [1, 3, 4]]))).max()
    score = SafetyMeasure(SafetyConfig(str(folder))).measure(clip, [0.0] * 3)
    assert score == {"nsfw": pytest.approx(probability, abs=1e-4)}


def test_the_fingerprint_follows_weights_and_labels(tmp_path: Path) -> None:
    def of(*settings: Any, **more: Any) -> str:
        return clip_measure_fingerprints(Recipe(safety=SafetyConfig(*settings, **more)))["safety"]

    folder = str(save_classifier(tmp_path / "model", FIVE))
    assert of(folder, device="cuda") == of(folder)
    assert of(folder, ("porn",)) != of(folder)
    assert of(str(save_classifier(tmp_path / "other", TWO))) != of(folder)


def test_a_model_without_an_unsafe_label_is_refused_with_its_labels(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "model", ("cat", "dog"))
    with pytest.raises(UsageError, match="its labels are cat, dog"):
        SafetyMeasure(SafetyConfig(str(folder)))


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image classifier"):
        SafetyMeasure(SafetyConfig(str(tmp_path)))
