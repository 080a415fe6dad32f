"""Each tell is found in a synthetic recording of it, and not in synthetic footage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.filter
import cv2
import numpy as np
import pytest

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.decode.reader import FrameReader, open_video
from pipeline.measure.stream.tells.black import is_black
from pipeline.measure.stream.tells.drift import drift_between
from pipeline.measure.stream.tells.measure import TellsMeasure
from pipeline.measure.stream.tells.shot_rate import shots_per_s
from pipeline.synthetic import blemishes, tells
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import SHAPES, Scene, Thing
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import Tells

FPS = 10
SAMPLE_EVERY = 2
"""Frames between samples at five a second."""


def stream_frame(picture: np.ndarray, index: int) -> StreamFrame:
    """An (H, W, 3) RGB picture as it would leave the decoder."""
    raw = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format="yuv420p")
    return StreamFrame.of(raw, index, round(index * 1e6 / FPS))


def scores_of(frames: Iterable[StreamFrame], cuts: Sequence[int] = ()) -> list[dict[str, float | None]]:
    """Scores of the clips between cuts."""
    measure, previous, num_frames = None, None, 0
    for frame in frames:
        if measure is None:
            raw = frame.raw
            measure = TellsMeasure(VideoFacts(raw.width, raw.height, raw.width * raw.height, FPS), MeasureConfig())
        if frame.index % SAMPLE_EVERY == 0:
            measure.push(frame, previous)
        previous, num_frames = frame, num_frames + 1
    assert measure is not None
    edges = [0, *cuts, num_frames]
    spans = [
        Span(i, first, last, round(first * 1e6 / FPS), round(last * 1e6 / FPS))
        for i, (first, last) in enumerate(pairwise(edges))
    ]
    return [measure.scores(span, spans) for span in spans]


def of_pictures(pictures: Iterable[np.ndarray], cuts: Sequence[int] = ()) -> list[dict[str, float | None]]:
    return scores_of((stream_frame(picture, i) for i, picture in enumerate(pictures)), cuts)


def through_codec(
    path: Path, pictures: Sequence[np.ndarray], cuts: Sequence[int] = ()
) -> list[dict[str, float | None]]:
    times = [Fraction(i, FPS) for i in range(len(pictures) + 1)]
    encode(path, pictures, times, Fraction(FPS), Encoding())
    container, stream = open_video(str(path))
    with container:
        reader = FrameReader(container, stream)
        return scores_of((StreamFrame.of(raw, i, reader.times_us[i]) for i, raw in enumerate(reader)), cuts)


def coloured(height: int, width: int, seed: int) -> np.ndarray:
    """A textured picture in colour, (H, W, 3)."""
    return np.dstack([blemishes.textured(height, width, 3 * seed + channel) for channel in range(3)])


def test_scores_are_the_columns_of_the_row() -> None:
    assert list(of_pictures([np.zeros((72, 128, 3), np.uint8)] * 4)[0]) == list(Tells.__dataclass_fields__)


def test_an_image_has_no_time() -> None:
    scores = of_pictures([coloured(144, 256, 0)])[0]
    assert {name for name, value in scores.items() if value is None} == {"slideshow", "screen_recording"}


# Shots per second


def spans_of(edges_s: Sequence[float], shots: Sequence[int] | None = None) -> list[Span]:
    pairs = pairwise(edges_s)
    return [
        Span(shots[i] if shots else i, 0, 0, round(start * 1e6), round(end * 1e6))
        for i, (start, end) in enumerate(pairs)
    ]


def test_changes_of_shot_are_counted_around_the_clip() -> None:
    quick = spans_of([0, 20, 21, 22, 23, 24, 25, 45])
    assert shots_per_s(quick[3], quick) == pytest.approx(6 / 10)
    assert shots_per_s(quick[0], quick) == 0.0


def test_a_short_video_is_its_own_window_and_parts_of_a_shot_are_no_changes() -> None:
    short = spans_of([0, 1, 2, 4])
    assert shots_per_s(short[1], short) == pytest.approx(2 / 4)
    parts = spans_of([0, 4, 8], shots=[0, 0])
    assert shots_per_s(parts[0], parts) == 0.0


# Black


@pytest.mark.parametrize(("level", "black"), [(16, True), (37, True), (38, False), (60, False)])
def test_black_is_dark_all_over(level: int, black: bool) -> None:
    luma = np.full((72, 128), level, np.uint8)
    assert is_black(luma) == black


def test_a_title_on_black_is_not_black() -> None:
    luma = np.full((72, 128), 16, np.uint8)
    luma[30:40, 40:90] = 200
    assert not is_black(luma)


def test_black_frames_are_counted() -> None:
    dark, light = np.zeros((72, 128, 3), np.uint8), np.full((72, 128, 3), 128, np.uint8)
    assert of_pictures([dark] * 10 + [light] * 30)[0]["black_frac"] == 0.25


# Colour bars


@pytest.mark.parametrize("amplitude", [0.75, 1.0])
@pytest.mark.parametrize(("height", "width"), [(240, 426), (480, 640), (256, 144)])
def test_drawn_bars_are_found_with_a_counter_that_changes(height: int, width: int, amplitude: float) -> None:
    bars = tells.colour_bars(height, width, amplitude=amplitude, top_frac=0.7)
    assert of_pictures(tells.with_counter(bars, i) for i in range(10))[0]["colour_bars_frac"] == 1.0


@pytest.mark.parametrize("source", ["smptebars", "smptehdbars", "pal75bars", "pal100bars", "testsrc"])
def test_ffmpegs_bars_are_found(source: str) -> None:
    assert scores_of(ffmpeg_frames(source))[0]["colour_bars_frac"] == 1.0


def ffmpeg_frames(source: str) -> Iterable[StreamFrame]:
    """Three frames of one of FFmpeg's test sources."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add(source, "size=640x360:rate=10"), graph.add("format", "yuv420p"), graph.add("buffersink")
    ).configure()
    for index in range(3):
        frame = graph.pull()
        assert isinstance(frame, av.VideoFrame)
        yield StreamFrame.of(frame, index, index * 100_000)


def test_a_rainbow_out_of_order_and_slanted_bars_are_none() -> None:
    bars = tells.colour_bars(240, 420)
    order = [3, 0, 5, 1, 6, 2, 4]
    shuffled = np.concatenate([bars[:, 60 * i : 60 * i + 60] for i in order], axis=1)
    turned = np.ascontiguousarray(np.rot90(bars))
    shear = np.array([[1, 0.6, -70], [0, 1, 0]], np.float32)
    slanted = cv2.warpAffine(bars, shear, (420, 240), borderMode=cv2.BORDER_REPLICATE)
    for picture in (shuffled, turned, slanted):
        assert of_pictures([picture] * 3)[0]["colour_bars_frac"] == 0.0


# Countdown


@pytest.mark.parametrize(("hairs", "least"), [(True, 0.95), (False, 0.6)])
@pytest.mark.parametrize(("height", "width"), [(240, 320), (360, 640)])
def test_leaders_are_found(tmp_path: Path, height: int, width: int, hairs: bool, least: float) -> None:
    frames = list(tells.countdown(height, width, 40, FPS, hairs=hairs))
    grainy = [blemishes.noisy(frame, 6.0, seed) for seed, frame in enumerate(frames)]
    assert (through_codec(tmp_path / "leader.mp4", grainy)[0]["countdown_frac"] or 0) >= least


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", ["plain", "striped", "checkered"])
def test_shapes_in_the_middle_are_no_leader(shape: str, pattern: str) -> None:
    thing = Thing(shape, "white", texture="dotted", spins=True)
    scene = Scene((thing,), background="grey", pattern=pattern)
    assert of_pictures(render(scene, 256, 144, 12))[0]["countdown_frac"] == 0.0


# Slideshows

STILLS = [coloured(200, 340, seed) for seed in range(4)]
CUTS = [20, 40, 60]


def slides(**kwargs: float) -> list[np.ndarray]:
    return list(tells.slideshow(STILLS, 144, 256, FPS, hold_s=2.0, **kwargs))


@pytest.mark.parametrize(
    ("drawn", "least"),
    [
        ({}, 1.0),
        ({"zoom": 1.2}, 0.9),
        ({"drift_frac": 0.2}, 0.9),
        ({"drift_frac": -0.15, "zoom": 0.85}, 0.9),
    ],
)
def test_stills_that_are_held_or_drift_are_a_slideshow(tmp_path: Path, drawn: dict[str, float], least: float) -> None:
    for scores in through_codec(tmp_path / "slides.mp4", slides(**drawn), CUTS):
        assert (scores["slideshow"] or 0) >= least


def test_stills_held_between_dissolves_are_mostly_slides() -> None:
    *dissolving, last = [scores["slideshow"] or 0 for scores in of_pictures(slides(dissolve_s=0.6), CUTS)]
    assert last == 1.0
    assert all(0.5 <= share < 1.0 for share in dissolving)


def test_one_drifting_picture_alone_may_be_a_camera() -> None:
    assert of_pictures(slides(drift_frac=0.2)[:20])[0]["slideshow"] == 0.0


def test_what_moves_by_itself_is_no_slideshow() -> None:
    moving = Thing("square", "red", direction="right", speed="quickly")
    shots = [render(Scene((moving,), pattern="speckled", seed=seed), 256, 144, 20) for seed in range(4)]
    for scores in of_pictures(np.concatenate(shots), CUTS):
        assert (scores["slideshow"] or 0) < 0.1


def test_drift_is_the_similarity_between_two_pictures() -> None:
    before, after = list(tells.slideshow([STILLS[0]], 144, 256, FPS, hold_s=2.0, drift_frac=0.2))[4:6]
    drift = drift_between(*(stream_frame(picture, 0).luma for picture in (before, after)))
    # the window moves 0.2 of the width in 20 frames: 0.2 * 128 / 20 px to the left at 128 px
    assert drift.motion == pytest.approx((-1.28, 0, 0, 0), abs=0.1)
    assert drift.left_over < 6.0


# Screens


@pytest.mark.parametrize("seed", [0, 1])
def test_a_desktop_is_a_screen_recording(tmp_path: Path, seed: int) -> None:
    frames = list(tells.screen_recording(480, 854, 20, FPS, seed))
    assert (through_codec(tmp_path / "screen.mp4", frames)[0]["screen_recording"] or 0) >= 0.8


def test_shapes_and_textures_are_no_screen() -> None:
    moving = Thing("square", "red", direction="right")
    for pattern in ("plain", "striped", "checkered", "gradient"):
        drawn = render(Scene((moving,), pattern=pattern), 640, 360, 12)
        assert of_pictures(drawn)[0]["screen_recording"] == 0.0
    assert of_pictures([STILLS[0]] * 8)[0]["screen_recording"] == 0.0
