"""Cuts in constructed frames at exact indices, and spans made of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.stages.shots import ShotDetector, Span, clip_spans
from schemas.recipe import SplitConfig

COLOURS = ((200, 30, 30), (30, 200, 30), (200, 200, 40), (220, 220, 220))


def detect(lengths: list[int], intervals_us: list[int], config: SplitConfig | None = None) -> list[int]:
    """Feed flat noisy shots of these lengths, in frames, through the detector."""
    detector = ShotDetector(config or SplitConfig())
    rng = np.random.default_rng(0)
    colours = itertools.cycle(COLOURS)
    time_us = index = 0
    for length in lengths:
        colour = np.array(next(colours))
        for _ in range(length):
            frame = np.clip(colour + rng.normal(0, 2, (36, 64, 3)), 0, 255).astype(np.uint8)
            detector.push(index, time_us, frame)
            time_us += intervals_us[index % len(intervals_us)]
            index += 1
    return detector.cuts


@pytest.mark.parametrize(
    "intervals_us", [[41_667], [33_333, 16_667, 100_000, 33_333], [1_000], [33_366, 33_367, 33_367]]
)
def test_cuts_are_the_first_frames_of_shots_at_any_rate(intervals_us: list[int]) -> None:
    config = SplitConfig(min_shot_s=0.0)
    assert detect([30, 25, 40], intervals_us, config) == [30, 55]


def test_a_cut_too_close_to_the_last_is_ignored_in_seconds_not_in_frames() -> None:
    config = SplitConfig(min_shot_s=0.5)
    assert detect([30, 10, 30], [100_000], config) == [30, 40]
    assert detect([30, 10, 30], [20_000], config) == [30]


def test_one_shot_has_no_cut() -> None:
    assert detect([60], [40_000]) == []


def test_memory_of_recent_frames_is_bounded() -> None:
    detector = ShotDetector(SplitConfig())
    for index in range(200):
        detector.push(index, index * 40_000, np.zeros((18, 32, 3), np.uint8))
    assert len(detector._recent) < 32


def test_spans_tile_the_video() -> None:
    times_us = [40_000 * i for i in range(100)]
    assert clip_spans([30, 70], times_us, 60.0) == [Span(0, 0, 30), Span(1, 30, 70), Span(2, 70, 100)]
    assert clip_spans([], [0], 60.0) == [Span(0, 0, 1)]


def test_long_shots_are_divided_into_equal_parts_of_the_same_shot() -> None:
    times_us = [100_000 * i for i in range(100)]
    spans = clip_spans([40], times_us, 2.5)
    assert [span.shot_index for span in spans] == [0, 0, 1, 1, 1]
    assert [span.first for span in spans[1:]] == [span.last for span in spans[:-1]]
    assert {span.last - span.first for span in spans} == {20}
