"""One contract, run over every detector: frames with known cuts in, transitions out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import av
import cv2
import numpy as np
import pytest

from pipeline.detectors.catalogue import DETECTORS, make_detector
from pipeline.detectors.detector import Transition
from pipeline.stream import StreamFrame
from schemas.splitting import SplitConfig

WIDTH, HEIGHT = 128, 72
EVERY = sorted(DETECTORS)
FINDS_CUTS = [name for name in EVERY if name != "threshold"]
"""The threshold detector knows black only."""


def scene(seed: int) -> np.ndarray:
    """A still picture of large coloured shapes, unlike those of other seeds, (HEIGHT, WIDTH, 3) uint8."""
    rng = np.random.default_rng(seed)
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = rng.integers(40, 216, 3)
    for _ in range(6):
        centre = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        cv2.circle(picture, centre, int(rng.integers(8, 30)), tuple(map(int, rng.integers(20, 236, 3))), -1)
    return picture


def shots(*lengths: int) -> list[np.ndarray]:
    """Still shots of these lengths, in frames, each a little grainy."""
    rng = np.random.default_rng(7)
    return [
        np.clip(scene(index) + rng.normal(0, 1.5, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
        for index, length in enumerate(lengths)
        for _ in range(length)
    ]


def stream(pictures: Iterable[np.ndarray], intervals_us: Sequence[int] = (40_000,)) -> Iterable[StreamFrame]:
    time_us = 0
    for index, picture in enumerate(pictures):
        raw = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        yield StreamFrame.of(raw, index, time_us)
        time_us += intervals_us[index % len(intervals_us)]


def detect(name: str, pictures: Iterable[np.ndarray], intervals_us: Sequence[int] = (40_000,)) -> list[Transition]:
    detector = make_detector(SplitConfig(detector=name))  # pyright: ignore[reportArgumentType]
    for frame in stream(pictures, intervals_us):
        detector.push(frame)
    return detector.finish()


def cuts(*frames: int) -> list[Transition]:
    return [Transition(frame, frame) for frame in frames]


@pytest.mark.parametrize("name", FINDS_CUTS)
@pytest.mark.parametrize("intervals_us", [(41_667,), (33_333, 16_667, 100_000, 33_333), (33_366, 33_367, 33_367)])
def test_a_cut_is_the_first_frame_of_its_shot_at_any_rate(name: str, intervals_us: tuple[int, ...]) -> None:
    assert detect(name, shots(30, 25, 40), intervals_us) == cuts(30, 55)


def test_the_threshold_detector_cuts_amid_the_black() -> None:
    pictures = shots(20, 10, 20)
    pictures[20:30] = [np.zeros_like(pictures[0])] * 10
    assert detect("threshold", pictures) == cuts(25)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("num_frames", [0, 1, 2])
def test_a_video_may_be_as_short_as_can_be(name: str, num_frames: int) -> None:
    assert detect(name, shots(num_frames)) == []


@pytest.mark.parametrize("name", EVERY)
def test_nothing_happens_in_a_flat_video(name: str) -> None:
    assert detect(name, [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 130) == []


@pytest.mark.parametrize("name", EVERY)
def test_transitions_are_in_order_apart_and_within_the_video(name: str) -> None:
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(40)]
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 12
    pictures = [*black, *shots(9, 3, 1, 14), *black, *noise, *shots(2, 20, 5), *black]
    found = detect(name, pictures)
    edges = [edge for transition in found for edge in (transition.first, transition.end)]
    assert edges == sorted(edges)
    assert len(set(found)) == len(found)
    assert all(0 <= t.first <= t.end <= len(pictures) and t.end > 0 and t.first < len(pictures) for t in found)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_frames_give_the_same_transitions(name: str) -> None:
    pictures = shots(30, 20, 30)
    assert detect(name, pictures) == detect(name, pictures)
