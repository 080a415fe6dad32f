import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from model.readers.clip import BUILTIN_FOLDER
from pipeline.measure.clip.embedding import ClipEmbedder, text_video_similarity
from pipeline.synthetic.render import render
from pipeline.synthetic.world import COLOURS, SHAPES, Scene, detailed_caption, draw_scene, short_caption
from schemas.recipe.embedding import EmbeddingConfig

HELD_OUT_SEEDS = range(1_000_000_500, 1_000_000_540)
SIZES = [(160, 90), (128, 96), (96, 96), (90, 160)]


@pytest.fixture(scope="module")
def embedder() -> ClipEmbedder:
    return ClipEmbedder()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in HELD_OUT_SEEDS]


@pytest.fixture(scope="module")
def clips(scenes: list[Scene]) -> list[np.ndarray]:
    return [render(scene, *SIZES[i % len(SIZES)], num_frames=5) for i, scene in enumerate(scenes)]


def with_other(scene: Scene, rng: random.Random, name: str, values: list[str]) -> Scene:
    """The scene whose first object has another value of `name`."""
    wrong = rng.choice([value for value in values if value != getattr(scene.things[0], name)])
    return replace(scene, things=(replace(scene.things[0], **{name: wrong}), *scene.things[1:]))


@pytest.mark.parametrize("caption", [short_caption, detailed_caption])
@pytest.mark.parametrize(("name", "values"), [("colour", list(COLOURS)), ("shape", list(SHAPES))])
def test_true_caption_scores_above_a_wrong_one(embedder, scenes, clips, caption, name, values) -> None:
    rng = random.Random(name)
    video = embedder.embed_frames(clips)
    true = text_video_similarity(embedder.embed_texts([caption(s) for s in scenes]), video)
    wrong_captions = [caption(with_other(s, rng, name, values)) for s in scenes]
    wrong = text_video_similarity(embedder.embed_texts(wrong_captions), video)
    assert (true > wrong).mean() >= 0.9


def test_clips_are_found_by_their_detailed_captions(embedder, scenes, clips) -> None:
    similarity = embedder.embed_texts([detailed_caption(s) for s in scenes]) @ embedder.embed_frames(clips).T
    assert (similarity.argmax(1) == np.arange(len(scenes))).mean() >= 0.6


def test_vectors_have_unit_length(embedder: ClipEmbedder, clips: list[np.ndarray]) -> None:
    texts = ["a red circle", "", "🎬🔥 猫", "word " * 2000, "<|end|>"]
    for vectors, num in ((embedder.embed_frames(clips[:3]), 3), (embedder.embed_texts(texts), len(texts))):
        assert vectors.shape == (num, embedder.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_batch_size_changes_nothing(embedder: ClipEmbedder, clips: list[np.ndarray]) -> None:
    small = ClipEmbedder(EmbeddingConfig(batch=2))
    texts = ["a red circle", "", "a long text " * 50]
    np.testing.assert_allclose(small.embed_frames(clips[:4]), embedder.embed_frames(clips[:4]), atol=1e-5)
    np.testing.assert_allclose(small.embed_texts(texts), embedder.embed_texts(texts), atol=1e-5)
    np.testing.assert_allclose(embedder.embed_texts(texts)[1], embedder.embed_texts([""])[0], atol=1e-5)
    assert small.fingerprint == embedder.fingerprint


def test_agrees_with_open_clip_used_directly(embedder: ClipEmbedder, clips: list[np.ndarray]) -> None:
    name = f"local-dir:{BUILTIN_FOLDER}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    with torch.inference_mode():
        frames = torch.stack([transform(Image.fromarray(frame)) for frame in clips[0]])
        mean = model.eval().encode_image(frames, normalize=True).mean(0)
        text = model.encode_text(open_clip.get_tokenizer(name)(["a red circle"]), normalize=True)
    np.testing.assert_allclose(embedder.embed_frames(clips[:1])[0], (mean / mean.norm()).numpy(), atol=1e-5)
    np.testing.assert_allclose(embedder.embed_texts(["a red circle"]), text.numpy(), atol=1e-5)


def test_an_image_is_a_clip_of_one_frame(embedder: ClipEmbedder, clips: list[np.ndarray]) -> None:
    frame = clips[0][:1]
    repeated = np.repeat(frame, 7, axis=0)
    np.testing.assert_allclose(embedder.embed_frames([frame]), embedder.embed_frames([repeated]), atol=1e-5)


def test_nothing_in_nothing_out(embedder: ClipEmbedder) -> None:
    assert embedder.embed_frames([]).shape == (0, embedder.dim)
    assert embedder.embed_texts([]).shape == (0, embedder.dim)


@pytest.mark.parametrize("shape", [(0, 32, 32, 3), (32, 32, 3), (2, 32, 32, 4)])
def test_malformed_clips_are_refused(embedder: ClipEmbedder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a clip must be"):
        embedder.embed_frames([np.zeros(shape, np.uint8)])


@pytest.mark.parametrize("name", ["no-such-model", "ViT-B-32", "ViT-B-32/no-such-tag"])
def test_unknown_models_are_refused_before_any_download(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ClipEmbedder(EmbeddingConfig(model=name))


def test_fingerprint_follows_the_weights(embedder: ClipEmbedder, tmp_path: Path) -> None:
    for file in BUILTIN_FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert ClipEmbedder(EmbeddingConfig(model=str(tmp_path))).fingerprint == embedder.fingerprint
    weights = load_file(tmp_path / "open_clip_model.safetensors")
    weights["text_projection"] = weights["text_projection"] * 1.5
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    assert ClipEmbedder(EmbeddingConfig(model=str(tmp_path))).fingerprint != embedder.fingerprint
