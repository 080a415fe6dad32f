"""Which frames of a clip are encoded: 4k + 1 of them at one rate, around the middle, on the 16 px grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from model.codec.spec import CodecSpec, codec_spec
from pipeline.encode.latents import as_half, plan_clip
from schemas.recipe.encode import EncodeConfig

CODEC = codec_spec()
MakeRow = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("end_us", [50_000, 124_999, 624_999, 625_000, 700_000, 1_125_000, 3_000_000, 60_000_000])
def test_frames_are_4k_plus_1_at_the_rate_asked_for_inside_the_span(clip_row: MakeRow, end_us: int) -> None:
    config = EncodeConfig(fps=8.0, max_frames=17)
    start_us = 5_000_000
    plan = plan_clip(clip_row("c", "v", start_us=start_us, end_us=start_us + end_us), config, CODEC)
    times_us = np.array(plan.times_us)
    possible = min(17, max(1, end_us * 8 // 1_000_000))
    assert len(times_us) == (possible - 1) // 4 * 4 + 1
    assert start_us <= times_us.min()
    assert times_us.max() < start_us + end_us
    assert np.all(np.abs(np.diff(times_us) - 125_000) <= 1)
    assert abs((times_us[0] + times_us[-1]) / 2 - (start_us + end_us / 2)) <= 1


def test_max_frames_is_rounded_down_to_4k_plus_1(clip_row: MakeRow) -> None:
    for max_frames, expected in ((1, 1), (4, 1), (5, 5), (8, 5), (16, 13), (17, 17)):
        plan = plan_clip(clip_row("c", "v", end_us=60_000_000), EncodeConfig(max_frames=max_frames), CODEC)
        assert len(plan.times_us) == expected


def test_an_image_is_one_frame(clip_row: MakeRow) -> None:
    assert plan_clip(clip_row("c", "v", is_image=True, start_us=0, end_us=1), EncodeConfig(), CODEC).times_us == (0,)


@pytest.mark.parametrize("box", [(1920, 1080), (1080, 1920), (854, 366), (100, 100), (96, 64), (20, 300), (3, 3)])
def test_sides_are_multiples_of_16_near_the_aspect_ratio_and_the_budget(
    clip_row: MakeRow, box: tuple[int, int]
) -> None:
    budget = 64 * 96
    plan = plan_clip(clip_row("c", "v", content_box=[7, 9, *box]), EncodeConfig(max_pixels_px=budget), CODEC)
    width, height = plan.size
    assert width % 16 == height % 16 == 0
    assert min(width, height) >= 16
    scale = min(1.0, (budget / (box[0] * box[1])) ** 0.5)
    assert abs(width - max(16, box[0] * scale)) <= 8
    assert abs(height - max(16, box[1] * scale)) <= 8


def test_frames_and_sides_follow_the_strides_of_the_codec(clip_row: MakeRow) -> None:
    codec = CodecSpec((8, 32, 32), 1, (0.0,), (1.0,), "")
    row = clip_row("c", "v", end_us=60_000_000, content_box=[0, 0, 1920, 1080])
    plan = plan_clip(row, EncodeConfig(max_frames=16, max_pixels_px=640 * 360), codec)
    assert len(plan.times_us) == 9
    assert plan.size == (640, 384)


def test_what_float16_cannot_hold_is_not_stored() -> None:
    values = np.array([65504.0, -65504.0, 0.1], np.float32)
    assert as_half(values, "a latent").tolist() == [65504.0, -65504.0, np.float16(0.1)]
    for value in (65505.0, -1e6, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"^a latent cannot be stored as float16: it has values beyond 65504$"):
            as_half(np.array([0.0, value], np.float32), "a latent")
