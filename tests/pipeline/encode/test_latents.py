"""What is encoded of a clip: all frames at one rate, of their own size where there is room, padded to whole latents."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from model.codec.loading import load_codec
from model.codec.padding import cropped
from model.codec.spec import CodecSpec, codec_spec
from pipeline.encode.latents import LatentEncoder, TooManyTokens, as_half, clip_transform, plan_clip
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas.recipe.encode import EncodeConfig

CODEC = codec_spec()
MakeRow = Callable[..., dict[str, Any]]
SCENE = Scene(things=(Thing("circle", "red", direction="right", speed="quickly"),))


@pytest.mark.parametrize("end_us", [50_000, 124_999, 624_999, 625_000, 700_000, 1_125_000, 3_000_000, 60_000_000])
def test_frames_are_at_the_rate_asked_for_inside_the_span_and_none_is_left_out(clip_row: MakeRow, end_us: int) -> None:
    config = EncodeConfig(fps=8.0, max_frames=17)
    start_us = 5_000_000
    plan = plan_clip(clip_row("c", "v", start_us=start_us, end_us=start_us + end_us), config, CODEC)
    whole = plan_clip(clip_row("c", "v", start_us=start_us, end_us=start_us + end_us), EncodeConfig(fps=8.0), CODEC)
    assert whole.codec.valid[0] == len(whole.sampling.times_us) == max(1, end_us * 8 // 1_000_000)
    times_us = np.array(plan.sampling.times_us)
    assert len(times_us) == plan.codec.valid[0] == min(17, max(1, end_us * 8 // 1_000_000))
    assert start_us <= times_us.min()
    assert times_us.max() < start_us + end_us
    assert np.all(np.abs(np.diff(times_us) - 125_000) <= 1)
    assert abs((times_us[0] + times_us[-1]) / 2 - (start_us + end_us / 2)) <= 1


def test_lengths_are_padded_to_4k_plus_1(clip_row: MakeRow) -> None:
    for max_frames, encoded in ((1, 1), (4, 5), (5, 5), (8, 9), (16, 17), (17, 17)):
        plan = plan_clip(clip_row("c", "v", end_us=60_000_000), EncodeConfig(max_frames=max_frames), CODEC)
        assert (plan.codec.valid[0], plan.codec.encoded[0]) == (max_frames, encoded)


def test_an_image_is_one_frame(clip_row: MakeRow) -> None:
    plan = plan_clip(clip_row("c", "v", is_image=True, start_us=0, end_us=1), EncodeConfig(), CODEC)
    assert plan.sampling.times_us == (0,)
    assert plan.codec.encoded[0] == 1


def test_a_single_frame_is_one_of_those_of_the_clip_at_its_size(clip_row: MakeRow) -> None:
    config = EncodeConfig(max_tokens=100)
    for end_us, middle in ((1_000_000, 4), (875_000, 3), (100_000, 0)):
        clip = clip_row("c", "v", start_us=500_000, end_us=500_000 + end_us, content_box=[0, 0, 900, 700])
        whole = plan_clip(clip, config, CODEC)
        for frame, place in (("first", 0), ("middle", middle), ("last", -1)):
            plan = plan_clip(clip | {"frame": frame}, config, CODEC)
            assert plan.sampling.times_us == (whole.sampling.times_us[place],)
            assert plan.sampling.size == whole.sampling.size == plan.codec.valid[1:]
            assert plan.codec.encoded == (1, *whole.codec.encoded[1:])
            assert plan.codec.latent_shape == (8, 1, *whole.codec.latent_shape[2:])


def test_a_latent_of_a_frame_has_a_key_of_its_own() -> None:
    box, other = {"content_box": [0, 0, 96, 64]}, {"content_box": [0, 0, 96, 62]}
    frames = (None, "first", "middle", "last")
    keys = [clip_transform(clip, name, frame) for clip in (box, other) for name in "ab" for frame in frames]
    assert len(set(keys)) == 16
    assert clip_transform(box, "a", None) == clip_transform(box, "a")


@pytest.mark.parametrize("box", [(1920, 1080), (1080, 1920), (854, 366), (100, 100), (96, 64), (20, 300), (33, 31)])
def test_nothing_is_stretched_and_sides_are_padded_to_16(clip_row: MakeRow, box: tuple[int, int]) -> None:
    budget = 64 * 96
    plan = plan_clip(clip_row("c", "v", content_box=[7, 9, *box]), EncodeConfig(max_pixels_px=budget), CODEC)
    scale = min(1.0, (budget / (box[0] * box[1])) ** 0.5)
    assert plan.sampling.size == plan.codec.valid[1:]
    for valid, encoded, side in zip(plan.codec.valid[1:], plan.codec.encoded[1:], box, strict=True):
        assert abs(valid - side * scale) <= 0.5
        assert encoded % 16 == 0
        assert 0 <= encoded - valid < 16


@pytest.mark.parametrize("box", [(160, 120), (96, 64), (33, 31)])
def test_frames_keep_their_size_where_there_is_room(clip_row: MakeRow, box: tuple[int, int]) -> None:
    plan = plan_clip(clip_row("c", "v", content_box=[7, 9, *box]), EncodeConfig(), CODEC)
    assert plan.codec.valid == (16, *box)


@pytest.mark.parametrize("max_tokens", [60, 100, 2048, 40_000])
@pytest.mark.parametrize(
    ("box", "seconds"), [((1920, 1080), 4), ((1080, 1920), 9.4), ((300, 20), 40), ((3840, 2160), 1)]
)
def test_clips_of_many_tokens_are_reduced_and_not_cut(
    clip_row: MakeRow, box: tuple[int, int], seconds: float, max_tokens: int
) -> None:
    """To about the largest size that has no more; the aspect is kept as far as whole pixels can."""
    row = clip_row("c", "v", end_us=int(seconds * 1e6), content_box=[0, 0, *box])
    frames = int(seconds * 8)
    config = EncodeConfig(max_tokens=max_tokens, max_pixels_px=4000 * 4000)
    if (frames + 3 + 3) // 4 > max_tokens:
        with pytest.raises(TooManyTokens, match=f"{frames} frames are 81 tokens at the smallest size, more than 60"):
            plan_clip(row, config, CODEC)
        return
    plan = plan_clip(row, config, CODEC).codec
    assert plan.valid[0] == frames
    tokens = math.prod(plan.latent_shape[1:]) // 4
    assert tokens <= max_tokens
    width, height = plan.valid[1:]
    assert width <= box[0]
    assert abs(width * box[1] / box[0] - height) <= 1 + box[1] / box[0]
    larger = CODEC.plan(frames, width + 17, height + 17, patch_thw=(1, 2, 2))
    assert math.prod(larger.latent_shape[1:]) // 4 > max_tokens or plan.valid[1:] == box


def test_a_patch_a_frame_is_the_least(clip_row: MakeRow) -> None:
    row = clip_row("c", "v", end_us=10_000_000, content_box=[0, 0, 640, 360])
    assert plan_clip(row, EncodeConfig(max_tokens=21), CODEC).codec.encoded == (81, 16, 16)
    with pytest.raises(TooManyTokens, match="80 frames are 21 tokens at the smallest size, more than 20"):
        plan_clip(row, EncodeConfig(max_tokens=20), CODEC)


def test_frames_and_sides_follow_the_strides_of_the_codec(clip_row: MakeRow) -> None:
    codec = CodecSpec((8, 32, 32), 1, (0.0,), (1.0,), "")
    row = clip_row("c", "v", end_us=60_000_000, content_box=[0, 0, 1920, 1080])
    plan = plan_clip(row, EncodeConfig(max_frames=16, max_pixels_px=640 * 360), codec)
    assert plan.codec.valid == (16, 640, 360)
    assert plan.codec.encoded == (17, 640, 384)


@pytest.mark.parametrize(("frames", "width", "height"), [(1, 45, 37), (7, 45, 37), (12, 16, 50), (9, 96, 64)])
def test_as_many_frames_of_the_same_size_come_back(clip_row: MakeRow, frames: int, width: int, height: int) -> None:
    """And they show the same: the picture is where it was, not moved or stretched by what was padded."""
    row = clip_row("c", "v", end_us=frames * 125_000, content_box=[0, 0, width, height])
    plan = plan_clip(row, EncodeConfig(), CODEC).codec
    video = render(SCENE, width, height, frames)
    latent = LatentEncoder(EncodeConfig())([video], plan)[0].astype(np.float16)
    assert latent.shape == plan.latent_shape
    raw = torch.from_numpy(latent.astype(np.float32))[None]
    decoded = torch.cat(list(load_codec().decode_stream([raw])), dim=2)[0]
    pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 3, 0).numpy()
    back = cropped(pixels, plan)
    assert back.shape == video.shape
    assert 10 * np.log10(255**2 / np.mean((back - video.astype(np.float32)) ** 2)) > LEAST_PSNR_DB


LEAST_PSNR_DB = 20.0
"""A picture moved by a pixel, or stretched by one, has less."""


def test_what_float16_cannot_hold_is_not_stored() -> None:
    values = np.array([65504.0, -65504.0, 0.1], np.float32)
    assert as_half(values, "a latent").tolist() == [65504.0, -65504.0, np.float16(0.1)]
    for value in (65505.0, -1e6, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"^a latent cannot be stored as float16: it has values beyond 65504$"):
            as_half(np.array([0.0, value], np.float32), "a latent")
