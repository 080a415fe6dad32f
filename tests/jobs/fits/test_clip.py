import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.fits.clip.fit import ClipFit, FitConfig, fit
from jobs.fits.clip.network import build_tokenizer
from jobs.fits.clip.pairs import (
    FACTS,
    HELD_OUT_SEED,
    IMAGE_PX,
    KINDS,
    UNSAID,
    draw_frames,
    one_word_wrong,
    said_facts,
    scene_facts,
    small_frames,
    text_of,
    true_pairs,
)
from model.readers.clip import load_clip
from pipeline.synthetic.world import attributes, detailed_caption, draw_scene, short_caption

SCENES = [draw_scene(seed) for seed in range(60)]


def test_facts_are_those_of_the_caption() -> None:
    for scene in SCENES:
        words = {name: values[i] for (name, values), i in zip(FACTS.items(), scene_facts(scene), strict=True)}
        said = attributes(detailed_caption(scene))
        for name in ("shape", "colour", "size", "texture"):
            assert words[f"{name} 1"] == said[name]
        for name in ("background", "pattern", "light"):
            assert words[name] == said[name]
        assert (words["shape 2"] == "none") == (said["count"] == "1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_says_what_its_facts_say(kind: str) -> None:
    """Words of all values said are in the text, and words of facts left open are not."""
    for scene in SCENES:
        words = text_of(scene, kind).replace(".", "").split()
        for (name, values), shown, said in zip(FACTS.items(), scene_facts(scene), said_facts(scene, kind), strict=True):
            if said != UNSAID and values[said] != "none":
                assert values[said] in words
            elif said == UNSAID and name not in ("texture 1", "texture 2", "pattern"):
                assert values[shown] == "none" or values[shown] not in words


def test_named_text_is_the_short_caption_without_motion() -> None:
    for scene in SCENES:
        if len(scene.things) == 1:
            assert short_caption(scene).startswith(text_of(scene, "named"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_scene_is_paired_with_its_text_and_not_with_the_wrong_one(kind: str) -> None:
    rng = random.Random(kind)
    shown = np.array([scene_facts(scene) for scene in SCENES])
    said = np.array([said_facts(scene, kind) for scene in SCENES])
    wrong_scenes = [one_word_wrong(scene, kind, rng) for scene in SCENES]
    wrong = np.array([said_facts(scene, kind) for scene in wrong_scenes])
    assert true_pairs(said, shown).diagonal().all()
    assert not true_pairs(wrong, shown).diagonal().any()
    assert ((said != wrong).sum(1) == 1).all()
    assert all(text_of(a, kind) != text_of(b, kind) for a, b in zip(SCENES, wrong_scenes, strict=True))


def test_frames_are_shrunk_as_the_saved_transform_shrinks_them() -> None:
    from PIL import Image

    frame = small_frames(SCENES[0], [0.5])[0]
    assert frame.shape == (IMAGE_PX, IMAGE_PX, 3)
    transform = load_clip("builtin").transform
    expected = (torch.from_numpy(frame).permute(2, 0, 1).float() / 255 - 0.45) / 0.25
    torch.testing.assert_close(transform(Image.fromarray(frame)), expected)


def test_drawn_frames_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "frames.npy"
    first = np.array(draw_frames(path, range(3)))
    written_ns = path.stat().st_mtime_ns
    assert (draw_frames(path, range(3)) == first).all()
    assert path.stat().st_mtime_ns == written_ns


def test_tokenizer_takes_any_text_and_gives_drawn_words_one_token() -> None:
    tokenizer = build_tokenizer([text_of(scene, kind) for scene in SCENES for kind in KINDS])
    assert tokenizer.decode(tokenizer("naïve 猫 🎬")["input_ids"], skip_special_tokens=True).strip() == "naïve 猫 🎬"
    for word in ("circle", "background", "surface", "camera"):
        assert len(tokenizer(word)["input_ids"]) == 3  # start, the word, end


def test_loss_falls_when_one_batch_is_repeated(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    run = ClipFit(FitConfig(batch=8, wrong_texts=4, num_clips=16), draw_frames(tmp_path / "f.npy", range(16)))
    batch = run.draw_batch()
    run.draw_batch = lambda: batch  # type: ignore[method-assign]
    first = run.step(0.02)
    for _ in range(15):
        last = run.step(0.02)
    assert all(last[name] < 0.8 * first[name] for name in ("contrast", "facts", "tokens"))


def test_fit_writes_a_model_that_open_clip_loads_and_logs_its_scores(tmp_path: Path) -> None:
    config = FitConfig(minutes=0.01, num_clips=12, batch=6, wrong_texts=2, num_scored=4)
    scores = fit(config, tmp_path / "model", tmp_path / "cache")
    rows = [json.loads(line) for line in (tmp_path / "cache" / "fit.jsonl").read_text().splitlines()]
    assert rows[0]["config"]["num_clips"] == 12
    assert rows[-1]["progress"] == 1.0
    assert rows[-1]["recall_at_5"] == scores["recall_at_5"]
    clip = load_clip(str(tmp_path / "model"))
    assert clip.model.encode_text(clip.tokenize(["a red circle"])).shape == (1, 128)


def test_held_out_clips_are_never_drawn_for_fitting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="held out"):
        fit(FitConfig(num_clips=HELD_OUT_SEED + 1), tmp_path, tmp_path)
