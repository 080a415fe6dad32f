"""Captioners: the builtin one tells what was drawn, the fingerprint covers what is said, frames keep their shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.caption.backends.catalogue import load_captioner
from pipeline.caption.captioner import Caption, Captioner, ClipFrames
from pipeline.caption.fingerprint import fingerprint
from pipeline.caption.frames import even_indices, fit_frames, size_within
from pipeline.decode.clip_frames import sample_times_us
from pipeline.synthetic.render import render
from pipeline.synthetic.world import attributes, detailed_caption, draw_scene
from schemas.recipe.caption import CaptionConfig
from schemas.structured_caption import text_of

HELD_OUT_SEED = 1_000_000_000
SIZES = [(192, 192), (256, 144), (144, 256), (256, 192)]


def drawn_clip(seed: int, num_frames: int = 16) -> ClipFrames:
    width, height = SIZES[seed % len(SIZES)]
    frames = render(draw_scene(seed), width, height, num_frames)
    return ClipFrames(frames, [i / 8 for i in range(num_frames)])


def captions_of(captioner: Captioner, clips: list[ClipFrames]) -> list[Caption]:
    return captioner.caption(clips, [""] * len(clips), captioner.greedy)


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return load_captioner(CaptionConfig())


def test_builtin_captions_tell_what_was_drawn(captioner: Captioner) -> None:
    seeds = range(HELD_OUT_SEED + 1000, HELD_OUT_SEED + 1016)
    hits = []
    for seed, caption in zip(seeds, captions_of(captioner, [drawn_clip(seed) for seed in seeds]), strict=True):
        assert caption.structured is not None
        found = attributes(text_of(caption.structured, "detailed"))
        hits += [found.get(name) == word for name, word in attributes(detailed_caption(draw_scene(seed))).items()]
    assert np.mean(hits) > 0.85


def test_a_bad_clip_gets_a_reason_and_leaves_the_others_alone(captioner: Captioner) -> None:
    good = drawn_clip(HELD_OUT_SEED)
    (said,) = captions_of(captioner, [good])
    empty = ClipFrames(np.zeros((0, 48, 48, 3), np.uint8), [])
    grey = ClipFrames(np.zeros((2, 48, 48, 1), np.uint8), [0.0, 0.1])
    untimed = ClipFrames(np.zeros((2, 48, 48, 3), np.uint8), [0.0])
    captions = captions_of(captioner, [empty, good, grey, untimed])
    assert captions[1] == said
    assert captions[0].failure == "frames have shape (0, 48, 48, 3), not (T, H, W, 3)"
    assert captions[2].failure == "frames have shape (2, 48, 48, 1), not (T, H, W, 3)"
    assert captions[3].failure == "2 frames but 1 timestamps"


def test_an_image_is_a_clip_of_one_frame(captioner: Captioner) -> None:
    (caption,) = captions_of(captioner, [ClipFrames(render(draw_scene(HELD_OUT_SEED), 200, 120, 1), [0.0])])
    assert caption.structured is not None
    assert attributes(text_of(caption.structured, "detailed"))["camera"] == "still"


def test_a_long_clip_is_described_in_windows(captioner: Captioner) -> None:
    """Two halves that show different things: the caption tells of both."""
    parts = [render(draw_scene(HELD_OUT_SEED + i), 192, 144, 8) for i in (1, 2)]
    long = ClipFrames(np.concatenate(parts), [float(i) for i in range(16)])
    whole, *halves = captions_of(captioner, [long, *(ClipFrames(part, list(range(8))) for part in parts)])
    assert whole.structured is not None
    assert whole.num_output_tokens == sum(half.num_output_tokens for half in halves)
    assert [half.answer for half in halves] == whole.answer.split("\n")


def test_no_clips_no_captions(captioner: Captioner) -> None:
    assert captions_of(captioner, []) == []


def test_the_fingerprint_covers_what_is_said_but_not_who_says_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    prompt = tmp_path / "prompt.toml"
    prompt.write_text('user = "What is it?"')
    config = CaptionConfig(checkpoint=str(tmp_path))
    first = fingerprint(config)
    fast = {"backend": "vllm", "engine_options": {"seed": 1}, "batch": 3, "batch_clips": 2, "num_actors": 2}
    assert fingerprint(replace(config, **fast)) == first
    served = {"url": "http://a/v1", "api_key_env": "KEY", "concurrency": 2, "timeout_s": 9.0, "attempts": 1}
    assert fingerprint(replace(config, **served, stall_s=9.0, num_gpus=1.0)) == first
    changed = [
        replace(config, prompt=str(prompt)),
        replace(config, rewrite="rewrite-builtin"),
        replace(config, language="de"),
        replace(config, hints=True),
        replace(config, max_pixels_px=1024),
        replace(config, num_frames=4),
        replace(config, window_s=10.0),
        replace(config, dtype="bfloat16"),
        replace(config, max_new_tokens=10),
        replace(config, retry_temperature=1.0),
        replace(config, compare_samples=True),
        replace(config, engine_options={"quantization": "fp8"}),
        replace(config, engine_options={"quantization": "awq"}),
        replace(config, engine_options={"extra_body": {"top_k": 1}}),
    ]
    prints = [first, *map(fingerprint, changed)]
    assert len(set(prints)) == len(prints)
    prompt.write_text('version = 2\nuser = "What is it?"')
    assert fingerprint(changed[0]) not in prints
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert fingerprint(config) != first


def test_sampled_times_are_middles_of_equal_parts():
    assert sample_times_us(1_000_000, 3_000_000, 4) == [1_250_000, 1_750_000, 2_250_000, 2_750_000]
    assert sample_times_us(0, 0, 2) == [0, 0]
    with pytest.raises(ValueError, match="cannot take 0 frames"):
        sample_times_us(0, 10, 0)


def test_frames_are_spread_and_repeat_when_there_are_too_few():
    assert even_indices(24, 4) == [3, 9, 15, 21]
    assert even_indices(1, 3) == [0, 0, 0]
    assert even_indices(3, 6) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        ((1920, 1080), (64, 32)),
        ((1080, 1920), (32, 64)),
        ((640, 480), (64, 48)),
        ((500, 500), (48, 48)),
        ((16, 16), (48, 48)),
    ],
)
def test_sizes_keep_the_shape_within_the_budget(picture, size):
    assert size_within(*picture, max_pixels_px=64 * 48, grid_px=16) == size


def test_extreme_shapes_stay_on_the_grid_and_in_the_budget():
    for width, height in ((3000, 10), (10, 3000), (1, 1)):
        size = size_within(width, height, 64 * 48, 16)
        assert size[0] % 16 == size[1] % 16 == 0
        assert 0 < size[0] * size[1] <= 64 * 48
    assert size_within(100, 100, 1, 16) == (16, 16)


def test_frames_are_shrunk_by_area():
    frames = np.zeros((4, 96, 96, 3), np.uint8)
    frames[:, ::2] = 200  # every other row: its mean is 100 whatever the phase
    fitted = fit_frames(frames, num_frames=2, max_pixels_px=64 * 48, grid_px=16)
    assert fitted.shape == (2, 48, 48, 3)
    assert set(np.unique(fitted)) == {100}
