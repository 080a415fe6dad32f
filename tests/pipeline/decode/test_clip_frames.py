"""Frames that models are shown: the right ones by time, inside the content box, and failures in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.decode.clip_frames import sample_clip, sample_times_us, spread_times_us
from pipeline.synthetic.render import render
from pipeline.synthetic.truth import Truth

MakeRow = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def truth(drawn_corpus: Path) -> Truth:
    return Truth.load(drawn_corpus / "truth.json")


def test_times_are_the_middles_of_equal_parts_of_the_whole_span() -> None:
    assert sample_times_us(1_000, 9_000, 4) == [2_000, 4_000, 6_000, 8_000]
    assert sample_times_us(0, 1, 1) == [0]


@pytest.mark.parametrize("file", ["00_cuts.mp4", "06_variable.mp4", "07_rotated.mp4", "11_anamorphic.mp4"])
def test_each_frame_shows_what_is_drawn_at_its_time(
    drawn_corpus: Path, truth: Truth, clip_row: MakeRow, file: str
) -> None:
    video = truth.video(file)
    shot = video.shots[0]
    uri = str(drawn_corpus / "videos" / file)
    box = [0, 0, video.width, video.height]
    num_frames = shot.end_frame - shot.start_frame
    span = {"start_us": shot.start_us, "end_us": shot.end_us, "num_frames": num_frames}
    clip = clip_row("c", "v", uri=uri, width=video.width, height=video.height, content_box=box, **span)
    sampled = sample_clip(clip, spread_times_us(clip, 5), video.width * video.height)
    assert sampled.failure is None
    assert sampled.frames.shape == (5, video.height, video.width, 3)
    middles_s = [(i + 0.5) * (shot.end_us - shot.start_us) * 1e-6 / 5 for i in range(5)]
    assert sampled.times_s == pytest.approx(middles_s, abs=1e-5)
    if not video.variable_frame_rate:
        drawn = render(shot.scene, video.width, video.height, num_frames)
        for time_s, frame in zip(sampled.times_s, sampled.frames, strict=True):
            index = min(int(time_s * video.fps + 1e-3), num_frames - 1)
            assert np.abs(frame.astype(int) - drawn[index]).mean() < 8


def test_only_the_content_box_is_shown(drawn_corpus: Path, truth: Truth, clip_row: MakeRow) -> None:
    video = truth.video("03_letterbox.mp4")
    shot = video.shots[1]
    assert shot.content_box is not None
    facts = {"start_us": shot.start_us, "end_us": shot.end_us, "width": 320, "height": 180}
    clip = clip_row("c", "v", uri=str(drawn_corpus / "videos" / video.file), content_box=[*shot.content_box], **facts)
    frames = sample_clip(clip, spread_times_us(clip, 3), 80 * 34).frames
    assert frames.shape == (3, 34, 80, 3)
    assert frames[:, (0, -1)].mean(axis=(0, 2, 3)).min() > 40


def test_an_image_is_one_frame(drawn_corpus: Path, truth: Truth, clip_row: MakeRow) -> None:
    video = truth.video("image.png")
    facts = {"is_image": True, "start_us": 0, "end_us": 1, "num_frames": 1, "width": 200, "height": 150}
    clip = clip_row("c", "v", uri=str(drawn_corpus / "videos" / video.file), content_box=[0, 0, 200, 150], **facts)
    sampled = sample_clip(clip, spread_times_us(clip, 8), 200 * 150)
    drawn = render(video.shots[0].scene, 200, 150, 1)
    assert sampled.frames.shape == drawn.shape
    assert np.abs(sampled.frames.astype(int) - drawn).max() <= 1
    assert sampled.times_s == [0.0]


def test_what_cannot_be_read_is_said_in_words(tmp_path: Path, clip_row: MakeRow) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    for name in ("gone.mp4", "broken.mp4"):
        for is_image in (False, True):
            clip = clip_row("c", "v", uri=str(tmp_path / name), is_image=is_image)
            sampled = sample_clip(clip, spread_times_us(clip, 8), 128 * 128)
            assert sampled.frames.shape[0] == 0
            assert sampled.failure is not None
            assert sampled.failure.startswith("frames: ")
