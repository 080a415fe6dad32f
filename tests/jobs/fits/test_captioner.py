"""The captioner's fit: pictures and words change together, its loss is the stock one, and a resumed fit is the same."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from jobs.fits.captioner.batches import caption_tokens, text_tokens, token_labels, without_colour_labels
from jobs.fits.captioner.clips import (
    BUCKETS,
    HELD_OUT_SEED,
    PLACE_WORDS,
    THING_WORDS,
    UNSEEN_PAIRS,
    backwards,
    frozen,
    mirrored,
    open_bucket,
    seeds_from,
    take_batch,
    without_colour,
    words_of_place,
    words_of_thing,
)
from jobs.fits.captioner.fit import Fit, FitSettings, caption_loss, fit_captioner, fitted_tokenizer, text_loss
from jobs.fits.captioner.scores import attribute_accuracy
from model.readers.captioner_network import CLAIMED_FPS, GRID_PX, encode_patches, patchify, save_captioner
from pipeline.synthetic.render import object_centres_px, render
from pipeline.synthetic.world import Scene, Thing, attributes, detailed_caption, draw_scene, structured_caption
from schemas.structured_caption import to_json

SETTINGS = FitSettings(minutes=1.0, num_clips=20, held_out_clips=5, held_out_texts=10, batch=3, vision_only_frac=0.0)


@pytest.fixture(scope="module")
def tokenizer():
    return fitted_tokenizer()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    return open_bucket(tmp_path_factory.mktemp("clips"), "80x48", 6, HELD_OUT_SEED)


@pytest.mark.parametrize("seed", range(20))
def test_words_are_those_of_the_caption(seed):
    scene = draw_scene(seed)
    assert words_of_thing(scene.things[0]) | words_of_place(scene) == attributes(detailed_caption(scene))


def test_every_word_has_a_class():
    for seed in range(100):
        scene = draw_scene(seed)
        words = words_of_thing(scene.things[0]) | words_of_place(scene)
        assert all(word in (THING_WORDS | PLACE_WORDS)[name] for name, word in words.items())


@pytest.mark.parametrize("direction", ["left", "right", "up", "still"])
def test_a_mirrored_scene_is_the_mirrored_picture(direction):
    scene = Scene(things=(Thing("star", "red", direction=direction, centre=(0.4, 0.45)),), pattern="gradient")
    frames, flipped = render(scene, 64, 48, 5), render(mirrored(scene), 64, 48, 5)[:, :, ::-1]
    # A sprite's middle lies between pixels, so edges may differ by a step of antialiasing.
    assert np.abs(frames.astype(int) - flipped).mean() < 1.0
    if direction in ("left", "right"):
        assert np.abs(frames.astype(int) - render(scene, 64, 48, 5)[:, :, ::-1]).mean() > 5.0


@pytest.mark.parametrize("camera", ["still", "pan left", "tilt up", "zoom in", "zoom out"])
def test_a_reversed_scene_is_the_clip_backwards(camera):
    scene = Scene(things=(Thing("cross", "blue", direction="up"),), pattern="checkered", camera=camera)
    expected = render(scene, 64, 48, 5)[::-1]
    # Positions u and 1 - u round differently, so a pixel may differ by one level.
    np.testing.assert_allclose(render(backwards(scene), 64, 48, 5).astype(int), expected.astype(int), atol=1)


def test_a_held_scene_does_not_move():
    said = attributes(detailed_caption(frozen(draw_scene(3))))
    assert (said["direction"], said["speed"], said["spin"], said["camera"]) == ("still", "none", "none", "still")


def test_batches_name_the_object_that_is_there(bucket):
    batch = take_batch(bucket, range(6), random.Random(0), frozen_frac=0.3)
    labels, offset = token_labels(batch)
    height, width = batch.frames.shape[2:4]
    assert labels["object"].shape == (6, 4, (height // GRID_PX) * (width // GRID_PX))
    for b, scene in enumerate(batch.scenes):
        over = labels["object"][b] == 1
        assert over.any()
        names = {words_of_thing(thing)["colour"] for thing in scene.things}
        assert {THING_WORDS["colour"][i] for i in labels["colour"][b][over].tolist()} <= names
        assert offset[b][over].abs().max() < 2.5


def test_centres_of_objects_are_where_they_are_drawn():
    scene = Scene(things=(Thing("circle", "white", direction="right", speed="quickly"),), background="black")
    frames = render(scene, 96, 64, 4)
    centres = object_centres_px(scene, 96, 64, [0, 1 / 3, 2 / 3, 1])[:, 0]
    for frame, (x, y) in zip(frames, centres, strict=True):
        ys, xs = np.nonzero(frame[..., 0] > 150)
        assert (xs.mean() + 0.5, ys.mean() + 0.5) == pytest.approx((x, y), abs=0.8)


def test_caption_loss_is_the_stock_loss(bucket, tokenizer):
    net = Fit(SETTINGS, tokenizer).net
    scenes = list(bucket.scenes[:2])
    patches = patchify(torch.from_numpy(np.array(bucket.frames[:2])))
    tokens = caption_tokens(tokenizer, scenes, num_visual_tokens=60)
    grid = torch.tensor([[4, 6, 10], [4, 6, 10]])
    with torch.no_grad():
        vision = encode_patches(net.model.visual, patches, 48, 80).flatten(1, 2)
        ours = caption_loss(net, vision, tokens, (4, 6, 10))
        stock = net(
            input_ids=tokens.ids_BL,
            labels=torch.where(tokens.answer_mask_BL, tokens.ids_BL, -100),
            mm_token_type_ids=2 * (tokens.ids_BL == net.config.video_token_id).int(),
            pixel_values_videos=patches.flatten(0, 2),
            video_grid_thw=grid,
            second_per_grid_ts=torch.full((2,), 2 / CLAIMED_FPS),
        ).loss
    torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-5)


def test_text_loss_is_the_stock_loss(bucket, tokenizer):
    net = Fit(SETTINGS, tokenizer).net
    tokens = text_tokens(tokenizer, list(bucket.scenes[:3]), random.Random(0))
    with torch.no_grad():
        stock = net(input_ids=tokens.ids_BL, labels=torch.where(tokens.answer_mask_BL, tokens.ids_BL, -100)).loss
        torch.testing.assert_close(text_loss(net, tokens), stock, rtol=1e-4, atol=1e-5)


def test_token_sequences_hold_the_caption_and_its_end(bucket, tokenizer):
    tokens = caption_tokens(tokenizer, list(bucket.scenes), num_visual_tokens=60)
    for ids, mask, scene in zip(tokens.ids_BL, tokens.answer_mask_BL, bucket.scenes, strict=True):
        assert tokenizer.decode(ids[mask]) == to_json(structured_caption(scene)) + "<|im_end|>"


def test_text_sequences_ask_and_answer(bucket, tokenizer):
    tokens = text_tokens(tokenizer, list(bucket.scenes) * 4, random.Random(0))
    for ids, mask, scene in zip(tokens.ids_BL, tokens.answer_mask_BL, list(bucket.scenes) * 4, strict=True):
        answer = tokenizer.decode(ids[mask])
        assert answer.startswith(detailed_caption(scene))
        assert answer.endswith("<|im_end|>")
        question = tokenizer.decode(ids[: int(mask.int().argmax())])
        assert "Expand this prompt:" in question or "Merge caption and title." in question


def test_clips_of_unseen_pairs_are_kept_apart():
    for unseen in (False, True):
        scenes = [draw_scene(seed) for seed in seeds_from(HELD_OUT_SEED, 20, unseen=unseen)]
        pairs = [{(thing.shape, thing.colour) for thing in scene.things} for scene in scenes]
        assert all(bool(pair & UNSEEN_PAIRS) is unseen for pair in pairs)


def test_a_fit_can_go_on_from_another_checkpoint(tokenizer, tmp_path):
    first, second = Fit(SETTINGS, tokenizer), Fit(replace(SETTINGS, seed=1), tokenizer)
    save_captioner(first.net, tokenizer, tmp_path)
    second.start_from(tmp_path)
    for name, value in first.net.state_dict().items():
        used = slice(len(tokenizer)) if name.endswith(("embed_tokens.weight", "lm_head.weight")) else slice(None)
        torch.testing.assert_close(second.net.state_dict()[name][used], value[used], rtol=1e-3, atol=1e-4)


def test_a_resumed_fit_is_the_uninterrupted_one(bucket, tokenizer, tmp_path):
    whole, first, second = (Fit(SETTINGS, tokenizer) for _ in range(3))
    for fit in (whole, first):
        fit.spent_s = 6.0
        fit.advance({"80x48": bucket})
    first.save(tmp_path / "state.pt")
    second.load(tmp_path / "state.pt")
    for fit in (whole, second):
        fit.advance({"80x48": bucket})
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name


def test_the_loss_falls(bucket, tokenizer):
    fit = Fit(replace(SETTINGS, batch=6, frozen_frame_frac=0.0), tokenizer)
    fit.spent_s = 6.0
    losses = [fit.advance({"80x48": bucket}) for _ in range(10)]
    assert losses[-1]["heads_loss"] < 0.8 * losses[0]["heads_loss"]


def test_the_rate_rises_then_falls():
    settings = FitSettings(peak_rate=1.0, warm_up_frac=0.1, final_rate_frac=0.1)
    rates = [settings.learning_rate(frac) for frac in (0.0, 0.05, 0.1, 0.5, 1.0)]
    assert rates[0] == 0.0
    assert rates[1] < rates[2] > rates[3] > rates[4]
    assert rates[4] == pytest.approx(0.1)


def test_accuracy_counts_what_is_not_said_as_wrong():
    truth = detailed_caption(draw_scene(1))
    assert attribute_accuracy([truth, ""], [truth, truth])["overall"] == 0.5


def test_the_job_writes_a_checkpoint_a_log_and_resumes(tmp_path, monkeypatch):
    # A network that has learnt nothing never ends its answer.
    monkeypatch.setattr("jobs.fits.captioner.scores.MAX_NEW_TOKENS", 24)
    settings = replace(SETTINGS, minutes=0.01, log_every_s=0.01, num_clips=5)
    scores = fit_captioner(tmp_path, settings)
    assert f"| overall | {scores['seen pairs']['overall']:.3f} |" in (tmp_path / "captioner" / "README.md").read_text()
    assert (tmp_path / "captioner" / "model.safetensors").stat().st_size < 14 * 2**20
    assert len(list((tmp_path / "clips").glob("*.frames.npy"))) == 3 * len(BUCKETS)
    assert fit_captioner(tmp_path, settings) == scores
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["held_out"] == scores


def test_grey_batches_ask_nothing_that_only_colour_tells(bucket):
    batch = take_batch(bucket, range(len(bucket.scenes)), random.Random(0), 0.0)
    grey = without_colour(batch, random.Random(0))
    assert (grey.frames == grey.frames[..., :1]).all()
    labels, _ = token_labels(batch)
    left = without_colour_labels(labels)
    assert {name for name in labels if (left[name] != labels[name]).any()} == {"colour", "background", "light"}
