"""The clips that the transformer is fitted to: which scenes, which latents, which texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from jobs.fits.transformer import clips
from jobs.fits.transformer.clips import FPS, TEXT_SHARES, ClipSet, SceneClips, is_held_out, latents_of, scenes, texts_of
from jobs.fits.worlds import WORLDS
from model.builtin import BUILTIN
from model.codec.causal import load_autoencoder
from model.readers.text_encoder import load_text_encoder
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, attributes

SHAPE_THW = (5, 32, 48)


def combinations(scene: Scene) -> list[tuple[str, str, str, str]]:
    return [(thing.shape, thing.colour, thing.direction, scene.background) for thing in scene.things]


@pytest.mark.parametrize("world", WORLDS)
def test_combinations_that_are_held_out_are_in_no_clip_that_is_trained_on(world: str) -> None:
    trained, held_out = scenes(world, held_out=False, number=3000), scenes("plain", held_out=True, number=300)
    known = {found for scene in trained for found in combinations(scene)}
    assert not known & {found for scene in held_out for found in combinations(scene)}
    for values in zip(*(found for scene in held_out for found in combinations(scene)), strict=True):
        assert set(values) <= {value for found in known for value in found}  # each by itself is known
    for scene in scenes(world, held_out=True, number=50):
        assert not set(combinations(scene)) <= known
    share = sum(is_held_out(WORLDS[world].draw(seed)) for seed in range(3000)) / 3000
    assert share == pytest.approx(clips.HELD_OUT_SHARE, abs=0.05)


def test_other_seeds_give_other_scenes() -> None:
    apart = scenes("whole", False, 3, first_seed=clips.SEEDS_APART)
    assert [scene.seed for scene in apart] != [scene.seed for scene in scenes("whole", False, 3)]
    assert min(scene.seed for scene in apart) >= clips.SEEDS_APART


def test_sets_of_clips_are_read_as_they_are_written() -> None:
    assert ClipSet.parse("whole:17x96x64:30") == ClipSet("whole", (17, 64, 96), 30)
    assert str(ClipSet.parse("whole:17x96x64:30")) == "whole:17x96x64:30"
    for wrong in ("other:9x64x64:1", "plain:9x64:1", "plain:9x64x64", "plain:9x64x64:many"):
        with pytest.raises(ValueError, match=r".+"):
            ClipSet.parse(wrong)


def test_texts_are_true_of_a_scene() -> None:
    for scene in scenes("plain", held_out=True, number=20):
        texts = texts_of(scene)
        assert texts.keys() == TEXT_SHARES.keys()
        found = attributes(texts["detailed"])
        assert [tuple(found[n] for n in ("shape", "colour", "direction", "background"))] == combinations(scene)
        assert texts["short"] != texts["medium"] != texts["detailed"]


def test_latents_are_made_once_and_are_those_of_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "CLIPS_OF_A_PART", 2)
    autoencoder, drawn, made = load_autoencoder(BUILTIN), scenes("plain", False, 5), []
    latents = latents_of(drawn, SHAPE_THW, autoencoder, tmp_path, made.append)
    assert made == [2, 4, 5]
    assert latents.shape == (5, 8, 2, 4, 6)
    T, H, W = SHAPE_THW
    for scene, latent in zip(drawn, latents, strict=True):
        frames = torch.from_numpy(render(scene, W, H, T)).permute(3, 0, 1, 2)[None] / 127.5 - 1
        with torch.no_grad():
            expected = autoencoder.encode(frames)[0]
        assert (latent.float() - expected).abs().mean() < 0.05  # drawn in another way, and in half precision
    (tmp_path / f"{drawn[2].seed:08d}-2.safetensors").unlink()
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
    first, second = scenes("plain", False, 2), scenes("whole", False, 3, first_seed=100)
    of_first, of_second = torch.randn(2, 8, 3, 4, 4).half(), torch.randn(3, 8, 2, 4, 6).half()
    encoder = load_text_encoder()
    samples = SceneClips([(first, of_first), (second, of_second)], encoder, FPS / 4)
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
