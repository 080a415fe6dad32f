"""Optical-flow speed of textures that are shifted by a known amount."""

from __future__ import annotations

from collections.abc import Sequence

import av
import cv2
import numpy as np
import pytest

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.motion import MotionMeasure
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import Camera, Motion

FPS = 20.0


def texture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return cv2.normalize(smooth, None, 40, 220, cv2.NORM_MINMAX).astype(np.uint8)


def shifted(shifts_px: Sequence[float], height: int = 144, width: int = 256) -> list[np.ndarray]:
    whole = texture(height, width + 128)
    moves = [np.array([[1, 0, -64 - shift], [0, 1, 0]], np.float64) for shift in shifts_px]
    return [cv2.warpAffine(whole, move, (width, height), flags=cv2.INTER_CUBIC) for move in moves]


def measured(pictures: Sequence[np.ndarray], fps: float = FPS) -> MotionMeasure:
    height, width = pictures[0].shape
    measure = MotionMeasure(VideoFacts(width, height, width * height, fps), MeasureConfig())
    previous = None
    for index, picture in enumerate(pictures):
        raw = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
        frame = StreamFrame.of(raw, index, round(index / fps * 1e6))
        measure.push(frame, previous)
        previous = frame
    return measure


def scores(pictures: Sequence[np.ndarray], first: int = 0, last: int | None = None, fps: float = FPS) -> dict:
    last = len(pictures) if last is None else last
    span = Span(0, first, last, round(first / fps * 1e6), round(last / fps * 1e6))
    return measured(pictures, fps).scores(span, [span])


@pytest.mark.parametrize("px_s", [3.0, 20.0, 80.0])
def test_speed_is_in_pixels_a_second(px_s: float) -> None:
    moved = shifted([px_s * index / FPS - 20 for index in range(17)])
    result = scores(moved)
    assert result["motion_px_s"] == pytest.approx(px_s, rel=0.05, abs=0.4)  # DIS is a tenth of a pixel off, in 0.2 s
    assert result["moving_area_frac"] > 0.7


def test_the_unit_is_the_frame_of_256_px_whatever_the_size() -> None:
    moved = shifted([index / FPS * 10 for index in range(17)], height=72, width=128)
    assert scores(moved)["motion_px_s"] == pytest.approx(20.0, rel=0.1)


def test_still_frames_have_no_speed() -> None:
    still = scores(shifted([0.0] * 17))
    assert still["motion_px_s"] == pytest.approx(0.0, abs=0.01)
    assert still["moving_area_frac"] == 0.0
    assert still["camera_motion"] == "still"


def test_the_moving_area_is_what_moves() -> None:
    still, moved = shifted([0.0] * 17), shifted([float(index) for index in range(17)])
    halves = [np.hstack([a[:, :128], b[:, 128:]]) for a, b in zip(still, moved, strict=True)]
    assert scores(halves)["moving_area_frac"] == pytest.approx(0.5, abs=0.08)


def test_a_clip_is_measured_within_itself_across_a_cut() -> None:
    still, moved = shifted([0.0] * 12), shifted([20 * index / FPS for index in range(12)])
    both = [np.flipud(picture).copy() for picture in still] + moved
    assert scores(both, 0, 12)["motion_px_s"] == pytest.approx(0.0, abs=0.01)
    assert scores(both, 12, 24)["motion_px_s"] == pytest.approx(20.0, rel=0.1)


def test_the_end_of_a_clip_counts_like_its_start() -> None:
    pictures = shifted([0.0] * 20 + [index * 1.0 for index in range(20)])
    assert scores(pictures)["motion_px_s"] == pytest.approx(10.0, rel=0.2)


def test_a_clip_of_one_frame_has_no_motion_and_no_camera() -> None:
    result = scores(shifted([0.0]))
    assert set(result) == set(Motion.__dataclass_fields__) | set(Camera.__dataclass_fields__)
    assert set(result.values()) == {None}


@pytest.mark.parametrize(("height", "width"), [(8, 64), (2, 2)])
def test_a_frame_too_small_for_patches_is_not_measured(height: int, width: int) -> None:
    assert scores(shifted([0.0, 1.0, 2.0], height, width))["motion_px_s"] is None


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 256), (256, 20), (40, 60)])
def test_small_and_narrow_frames_are_measured(height: int, width: int) -> None:
    assert scores(shifted([0.0] * 9, height, width))["motion_px_s"] == pytest.approx(0.0, abs=0.01)


def test_the_same_frames_give_the_same_bits() -> None:
    moved = shifted([index * 0.7 for index in range(12)])
    assert scores(moved) == scores([np.concatenate([p, p])[: len(p)] for p in moved])
