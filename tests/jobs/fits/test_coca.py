"""The CoCa's fit: captions say what a still picture shows, labels lie where things are, and a fit ends in a model."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.fits.captioner.batches import token_labels
from jobs.fits.captioner.clips import BUCKETS, HELD_OUT_SEED, THING_WORDS, Bucket, open_bucket, take_batch
from jobs.fits.clip.network import normalised, save_model
from jobs.fits.clip.pairs import IMAGE_PX, text_of
from jobs.fits.coca.fit import RUN_SHARES, Fit, FitSettings, fit_coca
from jobs.fits.coca.network import CAPTION_KIND, CONTEXT_LENGTH, fitted_tokenizer
from jobs.fits.coca.pictures import SHOWN, degraded, picture_labels, squashed, take_pictures
from jobs.fits.coca.scores import captions_of, held_out_scores
from model.readers.coca import load_coca
from pipeline.synthetic.world import attributes, detailed_caption, draw_scene

WIDTH = 32
SMALL = FitSettings(minutes=0.05, num_clips=20, held_out_clips=5, pictures=8, vision_only_frac=0.3, check_every_s=1.0)


@pytest.fixture(scope="module")
def tokenizer():
    return fitted_tokenizer()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def bucket(cache: Path) -> Bucket:
    return open_bucket(cache, "80x48", 6, HELD_OUT_SEED)


def test_captions_say_what_a_picture_shows_and_no_more() -> None:
    for seed in range(60):
        scene = draw_scene(seed)
        said, true = attributes(text_of(scene, CAPTION_KIND)), attributes(detailed_caption(scene))
        assert said == {name: word for name, word in true.items() if name in SHOWN}
        assert said.keys() == SHOWN.keys() - {"object"}


def test_captions_fit_into_the_context(tokenizer) -> None:
    for seed in range(200):
        ids = tokenizer(text_of(draw_scene(seed, num_things=2), CAPTION_KIND))["input_ids"]
        assert len(ids) <= CONTEXT_LENGTH
        assert ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("run", RUN_SHARES)
def test_pictures_are_different_frames_in_their_order(bucket: Bucket, run: int) -> None:
    batch = take_batch(bucket, [0, 1], random.Random(0), 0.0)
    pictures = take_pictures(batch, run, random.Random(0))
    assert pictures.frames.shape == (2, run, IMAGE_PX, IMAGE_PX, 3)
    assert pictures.centres.shape == (2, run, 2, 2)
    for clip, shown in zip(batch.frames, pictures.frames, strict=True):
        squares = [squashed(frame) for frame in clip]
        times = [next(t for t, square in enumerate(squares) if (square == picture).all()) for picture in shown]
        assert times == sorted(times)


def test_pictures_are_squashed_as_the_saved_transform_does_it(tmp_path: Path, tokenizer, bucket: Bucket) -> None:
    fit = Fit(SMALL, tokenizer, WIDTH)
    save_model(tmp_path, fit.cfg, fit.net, tokenizer)
    frame = bucket.frames[0][0]
    transformed = load_coca(str(tmp_path)).transform(Image.fromarray(frame))
    torch.testing.assert_close(transformed, normalised(squashed(frame)[None].copy())[0])


def test_labels_lie_on_the_patches_of_the_things(bucket: Bucket) -> None:
    batch = take_pictures(take_batch(bucket, range(6), random.Random(1), 0.0), 1, random.Random(1))
    labels, offset = picture_labels(batch)
    assert labels.keys() == SHOWN.keys()
    assert labels["object"].shape == (6, 1, 64)
    for scene, at, over, shapes, away in zip(
        batch.scenes, batch.centres, labels["object"], labels["shape"], offset, strict=True
    ):
        x, y = at[0, 0]
        if not (0 <= x < IMAGE_PX and 0 <= y < IMAGE_PX):
            continue
        middle = int(y // 8) * 8 + int(x // 8)
        assert over[0, middle] == 1
        assert THING_WORDS["shape"][shapes[0, middle]] == scene.things[0].shape
        assert away[0, middle].abs().max() <= 0.5
    assert token_labels(batch)[0]["object"].shape == (6, 1, 16)


def test_spoiling_keeps_the_picture(bucket: Bucket) -> None:
    pictures = take_pictures(take_batch(bucket, [0], random.Random(0), 0.0), 2, random.Random(0))
    torch.manual_seed(0)
    degraded_2CHW = degraded(pictures.frames, random.Random(0))
    assert degraded_2CHW.shape == (2, 3, IMAGE_PX, IMAGE_PX)
    plain = torch.from_numpy(pictures.frames[0]).permute(0, 3, 1, 2) / 255
    assert (degraded_2CHW * 0.25 + 0.45 - plain).abs().mean() < 0.1


def test_losses_fall_when_the_same_few_clips_come_again(tokenizer, bucket: Bucket) -> None:
    torch.set_num_threads(1)
    fit = Fit(SMALL, tokenizer, WIDTH)
    reports = [fit.advance({"80x48": bucket}, 0.5) for _ in range(60)]
    told = [report for report in reports if "caption_loss" in report]
    assert np.mean([r["caption_loss"] for r in told[-5:]]) < 0.4 * told[0]["caption_loss"]
    assert np.mean([r["heads_loss"] for r in told[-5:]]) < 0.9 * told[0]["heads_loss"]
    assert 0 < len(told) < len(reports)  # of grey pictures nothing is said
    assert all(torch.isfinite(p).all() for p in fit.net.parameters())


def test_a_fit_writes_a_checkpoint_its_card_and_its_log_and_another_goes_on_from_it(
    tmp_path: Path, cache: Path
) -> None:
    torch.set_num_threads(1)
    scores = fit_coca(tmp_path, SMALL, cache, width=WIDTH)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["held_out"] == scores
    assert scores.keys() == {f"{of}{pairs}" for of in ("clips", "single frames") for pairs in ("", ", unseen pairs")}
    assert scores["clips"].keys() == (SHOWN.keys() - {"object"}) | {"overall"}
    card = (tmp_path / "coca" / "README.md").read_text()
    assert "--minutes 0.05 --clips 20 --seed 0" in card
    assert all(len(line) <= 120 for line in card.splitlines())
    held_out = {False: [open_bucket(cache, name, 1, HELD_OUT_SEED) for name in BUCKETS]}
    assert held_out_scores(tmp_path / "coca", held_out)["clips"] == scores["clips"]
    assert len(captions_of(load_coca(str(tmp_path / "coca")), [np.zeros((3, 50, 70, 3), np.uint8)])) == 1
    fit = Fit(SMALL, fitted_tokenizer(), WIDTH)
    fit.start_from(tmp_path / "coca")
    saved = load_coca(str(tmp_path / "coca")).model.state_dict()
    assert all((value == saved[name]).all() for name, value in fit.net.state_dict().items())
