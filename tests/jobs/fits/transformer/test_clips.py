"""The clips that the transformer is fitted to: which scenes, which latents, which texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from jobs.fits.transformer import clips
from jobs.fits.transformer.clips import FPS, TEXT_SHARES, PlainClips, is_held_out, latents_of, scenes, texts_of
from model.builtin import BUILTIN
from model.codec.causal import load_autoencoder
from model.readers.text_encoder import load_text_encoder
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, attributes

SHAPE_THW = (5, 32, 48)


def combination(scene: Scene) -> tuple[str, str, str, str]:
    (thing,) = scene.things
    return thing.shape, thing.colour, thing.direction, scene.background


def test_combinations_that_are_held_out_are_in_no_clip_that_is_trained_on() -> None:
    trained, held_out = scenes(held_out=False, number=3000), scenes(held_out=True, number=300)
    assert not {combination(scene) for scene in trained} & {combination(scene) for scene in held_out}
    for values in zip(*map(combination, held_out), strict=True):  # each by itself is known
        assert set(values) <= {value for scene in trained for value in combination(scene)}
    share = sum(is_held_out(scene) for scene in scenes(True, 100) + scenes(False, 900)) / 1000
    assert share == pytest.approx(clips.HELD_OUT_SHARE, abs=0.001)


def test_other_seeds_give_other_scenes() -> None:
    assert [scene.seed for scene in scenes(False, 3, first_seed=clips.SEEDS_APART)] != [
        scene.seed for scene in scenes(False, 3)
    ]
    assert min(scene.seed for scene in scenes(False, 3, first_seed=clips.SEEDS_APART)) >= clips.SEEDS_APART


def test_texts_are_true_of_a_scene() -> None:
    for scene in scenes(held_out=True, number=20):
        texts = texts_of(scene)
        assert texts.keys() == TEXT_SHARES.keys()
        found = attributes(texts["detailed"])
        assert (found["shape"], found["colour"], found["direction"], found["background"]) == combination(scene)
        assert texts["short"] != texts["medium"] != texts["detailed"]


def test_latents_are_made_once_and_are_those_of_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "CLIPS_OF_A_PART", 2)
    autoencoder, drawn, made = load_autoencoder(BUILTIN), scenes(False, 5), []
    latents = latents_of(drawn, SHAPE_THW, autoencoder, tmp_path, made.append)
    assert made == [2, 4, 5]
    assert latents.shape == (5, 8, 2, 4, 6)
    T, H, W = SHAPE_THW
    for scene, latent in zip(drawn, latents, strict=True):
        frames = torch.from_numpy(render(scene, W, H, T)).permute(3, 0, 1, 2)[None] / 127.5 - 1
        with torch.no_grad():
            expected = autoencoder.encode(frames)[0]
        assert (latent.float() - expected).abs().mean() < 0.05  # drawn in another way, and in half precision
    (tmp_path / "000002-2.safetensors").unlink()
    monkeypatch.setattr(clips, "draw", lambda planned: torch.zeros(2, 3, T, H, W))
    again = latents_of(drawn, SHAPE_THW, autoencoder, tmp_path)
    assert torch.equal(again[[0, 1, 4]], latents[[0, 1, 4]])
    assert not torch.equal(again[2:4], latents[2:4])
    assert not list(tmp_path.glob("*.partial"))
    monkeypatch.setattr(clips, "draw", lambda planned: torch.zeros(1, 3, T, H, W))
    fewer = latents_of(drawn[:1], SHAPE_THW, autoencoder, tmp_path)
    assert len(fewer) == 1
    assert torch.equal(latents_of(drawn, SHAPE_THW, autoencoder, tmp_path), again)


def test_samples_have_the_latents_and_texts_of_their_scenes() -> None:
    first, second = scenes(False, 2), scenes(False, 3, first_seed=100)
    of_first, of_second = torch.randn(2, 8, 3, 4, 4).half(), torch.randn(3, 8, 2, 4, 6).half()
    encoder = load_text_encoder()
    samples = PlainClips([(first, of_first), (second, of_second)], encoder, FPS / 4)
    assert Counter(samples.shapes.values()) == {(8, 3, 4, 4): 2, (8, 2, 4, 6): 3}
    names = list(samples.shapes)
    read = samples.read([names[3], names[0]])
    assert [sample.sample_id for sample in read] == [names[3], names[0]]
    for sample, scene, latent in zip(read, (second[1], first[0]), (of_second[1], of_first[0]), strict=True):
        assert (sample.latent_CTHW == latent.numpy()).all()
        assert sample.latent_fps == FPS / 4
        assert sample.text_shares == tuple(TEXT_SHARES.values())
        for text, given in zip(encoder.encode(list(texts_of(scene).values())), sample.texts_LE, strict=True):
            assert given == pytest.approx(text, abs=1e-5)
