"""Repeated and frozen frames and flicker on stimuli whose truth is known, on arrays and through real encodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.measure.stream.technical.flicker import flicker
from pipeline.measure.stream.technical.freezing import largest_change, repeats
from pipeline.synthetic import blemishes
from pipeline.synthetic.encode import Encoding
from tests.pipeline.measure.stream.technical_frames import FPS, TEXTURED, measured, of_luma, stream_frame, through_codec

MOVING = blemishes.panned(blemishes.textured(144, 401, 1), 40, 3)


@pytest.mark.parametrize("every", [2, 4])
def test_frames_shown_twice_are_counted_after_an_encode(tmp_path: Path, every: int) -> None:
    shown = blemishes.repeated(MOVING, every)
    scores = measured(through_codec(tmp_path / "padded.mp4", shown, Encoding()))[0]
    expected = (len(shown) - len(MOVING)) / (len(shown) - 1)
    assert scores["duplicate_frames_frac"] == pytest.approx(expected, abs=0.03)


def test_frames_that_all_move_are_none(tmp_path: Path) -> None:
    scores = measured(through_codec(tmp_path / "moving.mp4", MOVING, Encoding()))[0]
    assert scores["duplicate_frames_frac"] == 0.0
    assert scores["frozen_s"] == 0.0


def test_a_frozen_stretch_is_timed(tmp_path: Path) -> None:
    held = blemishes.frozen(MOVING, 10, 21)
    scores = measured(through_codec(tmp_path / "frozen.mp4", held, Encoding()))[0]
    assert scores["frozen_s"] == pytest.approx(20 / FPS)


def test_it_is_cut_to_the_span() -> None:
    frames = [stream_frame(picture, i) for i, picture in enumerate(blemishes.frozen(MOVING, 10, 21))]
    before, within, after = measured(frames, [(0, 16), (16, 26), (26, 40)])
    assert before["frozen_s"] == pytest.approx(5 / FPS)
    assert within["frozen_s"] == pytest.approx(9 / FPS)
    assert within["duplicate_frames_frac"] == 1.0
    assert after["frozen_s"] == pytest.approx(4 / FPS)


def test_slow_change_is_no_freeze() -> None:
    brighter = [np.full((144, 256), 60 + i // 2, np.uint8) for i in range(60)]
    assert of_luma(brighter)["frozen_s"] == pytest.approx(5 / FPS)  # six frames within three levels


def test_change_is_the_largest_of_a_cell() -> None:
    one = np.zeros((144, 256), np.uint8)
    other = one.copy()
    other[8:16, 16:24] = 40
    assert largest_change(one, other) == 40.0


def test_a_repeat_changes_far_less_than_both_sides() -> None:
    changes = np.array([9.0, 9.0, 3.0, 9.0, 9.0, 5.0, 0.2, 0.2])
    assert repeats(changes).tolist() == [False, False, True, False, False, False, True, True]
    assert repeats(np.array([1.0, 2.0, 4.0, 8.0])).tolist() == [False] * 4


STILL = [TEXTURED] * 24


@pytest.mark.parametrize("period", [2, 3, 4, 6])
def test_it_is_the_swing_of_light_that_comes_and_goes(period: int) -> None:
    scores = of_luma(blemishes.flickering(STILL, 0.05, period))
    assert scores["flicker"] == pytest.approx(2 * 0.05 * TEXTURED.mean() / 219, rel=0.25)


@pytest.mark.parametrize(
    "change",
    [blemishes.faded, lambda frames: frames[:12] + [frame // 2 for frame in frames[12:]]],
)
def test_a_fade_and_a_cut_are_none(change: Callable[[list[np.ndarray]], list[np.ndarray]]) -> None:
    assert of_luma(change(STILL))["flicker"] == pytest.approx(0.0, abs=1e-4)


def test_two_frames_say_nothing() -> None:
    assert flicker(np.array([0.1, 0.9])) is None
