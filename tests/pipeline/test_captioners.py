"""One contract for every captioner backend, and the pure functions that choose and size frames."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.captioner_net import build_captioner, fit_tokenizer, save_captioner
from pipeline.captioners.captioner import (
    BUILTIN_FOLDER,
    Answer,
    Caption,
    CaptionerConfig,
    ChatCaptioner,
    ClipFrames,
    fingerprint,
    load_captioner,
)
from pipeline.captioners.frames import even_indices, fit_frames, size_within
from pipeline.captioners.prompts import PROMPTS
from pipeline.drawn.render import render
from pipeline.drawn.world import attributes, detailed_caption, draw_scene
from pipeline.stages.clip_frames import sample_times_us

HELD_OUT_SEED = 1_000_000_000
SIZES = [(192, 192), (256, 144), (144, 256), (256, 192)]
HAS_BUILTIN = (BUILTIN_FOLDER / "config.json").exists()
needs_builtin = pytest.mark.skipif(not HAS_BUILTIN, reason="the builtin captioner has not been fitted yet")


def drawn_clip(seed: int, num_frames: int = 16) -> ClipFrames:
    width, height = SIZES[seed % len(SIZES)]
    frames = render(draw_scene(seed), width, height, num_frames)
    return ClipFrames(frames, [i / 8 for i in range(num_frames)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    """The builtin checkpoint, or while there is none a network with random weights."""
    if HAS_BUILTIN:
        return "builtin"
    folder = tmp_path_factory.mktemp("captioner")
    tokenizer = fit_tokenizer([detailed_caption(draw_scene(seed)) for seed in range(50)])
    save_captioner(build_captioner(tokenizer, seed=0), tokenizer, folder)
    return str(folder)


def _load(backend: str, checkpoint: str):
    if backend == "vllm" and importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of vLLM's own imports
        return load_captioner(CaptionerConfig(backend=backend, checkpoint=checkpoint))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def reference(checkpoint):
    return _load("transformers", checkpoint)


@pytest.fixture(scope="module", params=["transformers", "vllm"])
def captioner(request, checkpoint):
    return _load(request.param, checkpoint)


@pytest.fixture(scope="module")
def clips() -> list[ClipFrames]:
    return [drawn_clip(HELD_OUT_SEED + i) for i in range(6)]


@pytest.fixture(scope="module")
def said(reference, clips) -> list[Caption]:
    return reference.caption(clips)


def test_every_backend_says_the_same(captioner, clips, said):
    assert captioner.caption(clips) == said


def test_a_clip_is_captioned_alike_in_any_company(captioner, clips, said):
    assert captioner.caption(list(reversed(clips)))[::-1] == said
    assert captioner.caption([clips[1]]) == [said[1]]


def test_a_bad_clip_gets_a_reason_and_leaves_the_others_alone(captioner, clips, said):
    empty = ClipFrames(np.zeros((0, 48, 48, 3), np.uint8), [])
    grey = ClipFrames(np.zeros((2, 48, 48, 1), np.uint8), [0.0, 0.1])
    untimed = ClipFrames(np.zeros((2, 48, 48, 3), np.uint8), [0.0])
    captions = captioner.caption([empty, clips[0], grey, untimed, clips[1]])
    assert [captions[1], captions[4]] == said[:2]
    assert captions[0].failure == "frames have shape (0, 48, 48, 3), not (T, H, W, 3)"
    assert captions[2].failure == "frames have shape (2, 48, 48, 1), not (T, H, W, 3)"
    assert captions[3].failure == "2 frames but 1 timestamps"


def test_an_image_is_a_clip_of_one_frame(captioner, reference):
    image = ClipFrames(render(draw_scene(HELD_OUT_SEED), 200, 120, 1), [0.0])
    (caption,) = captioner.caption([image])
    assert caption.num_output_tokens > 0
    assert [caption] == reference.caption([image])
    if HAS_BUILTIN:
        assert attributes(caption.detailed)["camera"] == "still"


def test_no_clips_no_captions(captioner):
    assert captioner.caption([]) == []


@needs_builtin
def test_builtin_captions_tell_what_was_drawn(reference):
    seeds = range(HELD_OUT_SEED + 1000, HELD_OUT_SEED + 1016)
    captions = reference.caption([drawn_clip(seed) for seed in seeds])
    hits = []
    for seed, caption in zip(seeds, captions, strict=True):
        assert caption.failure is None
        found = attributes(caption.detailed)
        hits += [found.get(name) == word for name, word in attributes(detailed_caption(draw_scene(seed))).items()]
    assert np.mean(hits) > 0.75


class RefusingEngine:
    """Answers the question with itself, but refuses dark frames, as a processor refuses a shape it cannot take."""

    grid_px = 16
    told_fps = None

    def answer(self, requests):
        if any(request.frames.max() == 0 for request in requests):
            raise ValueError("too dark")
        return [Answer(request.prompt, num_tokens=1, cut=request.fps > 10) for request in requests]


def test_a_refused_clip_fails_alone_and_a_cut_caption_says_so():
    captioner = ChatCaptioner(CaptionerConfig(checkpoint="any"), RefusingEngine())
    dark = ClipFrames(np.zeros((8, 32, 32, 3), np.uint8), [i / 8 for i in range(8)])
    light = replace(dark, frames=dark.frames + 1)
    hasty = replace(light, timestamps_s=[i / 80 for i in range(8)])
    whole = Caption(PROMPTS["short"], PROMPTS["detailed"], num_output_tokens=2)
    assert captioner.caption([light, dark, hasty]) == [
        whole,
        Caption(failure="too dark"),
        replace(whole, failure="short and detailed caption cut off at the limit of tokens"),
    ]


def test_the_fingerprint_covers_what_is_said_but_not_who_says_it(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    config = CaptionerConfig(checkpoint=str(tmp_path))
    first = fingerprint(config)
    assert fingerprint(replace(config, backend="vllm", engine_options={"seed": 1}, batch=3)) == first
    changed = [
        replace(config, detailed_prompt="What is it?"),
        replace(config, max_pixels_px=1024),
        replace(config, num_frames=4),
        replace(config, dtype="bfloat16"),
        replace(config, max_new_tokens=10),
    ]
    assert len({first, *map(fingerprint, changed)}) == len(changed) + 1
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert fingerprint(config) != first


def test_an_unknown_backend_is_a_usage_error():
    with pytest.raises(ValueError, match="'whisper' is not one of transformers, vllm"):
        load_captioner(CaptionerConfig(backend="whisper"))  # type: ignore[arg-type]


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
