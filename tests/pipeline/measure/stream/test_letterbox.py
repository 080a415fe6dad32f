"""Borders of synthetic clips, after x264, against the boxes they were drawn with; and what must not be taken for
one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.decode.orientation import Orientation
from pipeline.measure.stream.borders.lines import SIDE
from pipeline.measure.stream.letterbox import LetterboxMeasure
from pipeline.synthetic.borders import Border
from schemas.recipe.measure import MeasureConfig
from tests.bench.letterbox import Case, error_px, frames_of, measured

SIZE = WIDTH, HEIGHT = 480, 270
TEXTURE = 1
"""Number of a picture in the bench: coloured noise, over which a camera wanders."""
VIDEOS = Path(__file__).parents[5] / "shared" / "videos"

BORDERS = {
    "letterbox": (Border((34, 33, 0, 0)), "black"),
    "pillarbox": (Border((0, 0, 61, 61)), "black"),
    "windowbox": (Border((22, 23, 50, 52)), "black"),
    "uneven": (Border((20, 44, 0, 0)), "black"),
    "one side": (Border((0, 0, 0, 40)), "black"),
    "thin": (Border((3, 0, 4, 0)), "black"),
    "subtitle": (Border((30, 38, 0, 0), subtitle="and then the other said"), "black"),
    "noisy": (Border((34, 34, 0, 0), noise_levels=4.0, colour=(10, 10, 10)), "black"),
    "coloured": (Border((0, 0, 50, 50), colour=(180, 40, 60)), "coloured"),
    "gradient": (Border((30, 30, 50, 50), "gradient", (30, 60, 160), (200, 190, 90)), "coloured"),
    "blurred": (Border((0, 0, 120, 120), "blurred"), "blurred"),
}


@pytest.mark.parametrize("name", BORDERS)
def test_the_content_box_is_the_drawn_one(name: str) -> None:
    border, kind = BORDERS[name]
    scores, _ = measured(frames_of(Case(name, TEXTURE, SIZE, border), []), SIZE, crf=24)
    assert error_px(scores["content_box"], border.box(*SIZE)) <= 2
    assert scores["border_kind"] == kind
    assert scores["bars_change"] is False
    assert scores["short_side_px"] == min(scores["content_box"][2:])
    assert np.isclose(scores["bars_frac"], 1 - np.prod(scores["content_box"][2:]) / np.prod(SIZE))


@pytest.mark.parametrize("picture", [0, TEXTURE, 3, 7])
def test_a_picture_without_border_has_none(picture: int) -> None:
    scores, _ = measured(frames_of(Case("none", picture, SIZE, None), []), SIZE, crf=24)
    assert (scores["content_box"], scores["border_kind"], scores["bars_frac"]) == ([0, 0, *SIZE], "none", 0.0)


@pytest.mark.parametrize(
    ("later", "box", "kind"), [((0, 0, 0, 0), [0, 0, 480, 270], "none"), ((60, 60, 0, 0), [0, 34, 480, 202], "black")]
)
def test_bars_that_change_leave_the_union_of_the_pictures(
    later: tuple[int, int, int, int], box: list[int], kind: str
) -> None:
    case = Case("change", TEXTURE, SIZE, Border((34, 34, 0, 0)), later=Border(later))
    scores, _ = measured(frames_of(case, []), SIZE, crf=24)
    assert scores["bars_change"] is True
    assert error_px(scores["content_box"], box) <= 2
    assert scores["border_kind"] == kind


def texture(seed: int = 0) -> np.ndarray:
    """Bright luma with structure at every place, (HEIGHT, WIDTH) uint8."""
    coarse = np.random.default_rng(seed).integers(70, 230, (HEIGHT // 6, WIDTH // 6), np.uint8)
    return cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)


def stream(lumas: Iterable[np.ndarray], displayed: tuple[int, int] = SIZE, **turn: int) -> LetterboxMeasure:
    """The measure after grey frames, five a second."""
    measure = LetterboxMeasure(VideoFacts(*displayed, stored_pixels=WIDTH * HEIGHT, fps=5.0), MeasureConfig())
    for index, luma in enumerate(lumas):
        height, width = luma.shape
        planes = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
        raw = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        measure.push(StreamFrame.of(raw, index, 200_000 * index, **turn), None)
    return measure


def whole(measure: LetterboxMeasure, num_frames: int) -> dict[str, Any]:
    span = Span(0, 0, num_frames, 0, 200_000 * num_frames)
    return measure.scores(span, [span])


def night(index: int) -> np.ndarray:
    """Black, but for a lit thing of ragged outline that stands in the middle and a lamp that moves."""
    luma = np.full((HEIGHT, WIDTH), 16, np.uint8)
    cv2.circle(luma, (250, 140), 80, 150, -1)
    cv2.rectangle(luma, (200, 90), (330, 230), 120, -1)
    cv2.circle(luma, (120 + 3 * index, 60), 4, 200, -1)
    return luma


def vignette(index: int) -> np.ndarray:
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.maximum(np.abs(xs - WIDTH / 2) / (WIDTH / 2), np.abs(ys - HEIGHT / 2) / (HEIGHT / 2))
    return (16 + (texture(index) - 16) * np.clip(1.6 - 1.6 * distance**3, 0, 1)).astype(np.uint8)


def passing_wall(index: int) -> np.ndarray:
    """A dark wall at the left edge, straight from top to bottom, past which the camera moves."""
    luma = texture(1)
    luma[:, : 60 + 5 * index] = 18
    return luma


def tiles(index: int) -> np.ndarray:
    """A dark checkerboard that stands still."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] // 40
    return np.where((xs + ys) % 2, 28, 22).astype(np.uint8)


@pytest.mark.parametrize("picture", [night, vignette, passing_wall, tiles])
def test_dark_edges_that_are_picture_are_no_bars(picture: Any) -> None:
    scores = whole(stream(picture(index) for index in range(12)), 12)
    assert (scores["content_box"], scores["border_kind"], scores["bars_change"]) == ([0, 0, *SIZE], "none", False)


def letterboxed(luma: np.ndarray, depth: int = 30) -> np.ndarray:
    luma = luma.copy()
    luma[:depth] = luma[-depth:] = 16
    return luma


def test_fades_within_a_letterbox_do_not_move_it() -> None:
    shares = [0.0, 0.0, 0.1, 0.3, 1.0, 1.0, 0.5, 0.02, 0.0]
    frames = [letterboxed((16 + (texture(i) - 16) * share).astype(np.uint8)) for i, share in enumerate(shares)]
    scores = whole(stream(frames), len(frames))
    assert scores["content_box"] == [0, 30, WIDTH, HEIGHT - 60]
    assert scores["bars_change"] is False


def test_a_clip_too_dark_to_tell_takes_the_bars_of_the_others() -> None:
    title = np.full((HEIGHT, WIDTH), 16, np.uint8)
    title[120:130, 200:280:3] = 200
    bright, full = [letterboxed(texture(i)) for i in range(6)], [texture(i) for i in range(6)]
    measure = stream([*bright, *[title] * 5, *full])
    spans = [Span(0, 0, 6, 0, 1_200_000), Span(1, 6, 11, 1_200_000, 2_200_000), Span(2, 11, 17, 2_200_000, 3_400_000)]
    boxes = [measure.scores(span, spans)["content_box"] for span in spans]
    assert boxes == [[0, 30, WIDTH, HEIGHT - 60]] * 2 + [[0, 0, WIDTH, HEIGHT]]
    alone = spans[1]
    assert measure.scores(alone, [alone])["content_box"] == [0, 0, WIDTH, HEIGHT]


def test_a_still_image_is_enough() -> None:
    assert whole(stream([letterboxed(texture())]), 1)["content_box"] == [0, 30, WIDTH, HEIGHT - 60]


def test_the_box_is_in_displayed_pixels_and_upright() -> None:
    wide = whole(stream([np.ascontiguousarray(letterboxed(texture()).T)] * 2, (360, 480)), 2)
    assert wide["content_box"] == [40, 0, 280, 480]
    turned = whole(stream([letterboxed(texture())] * 2, (HEIGHT, WIDTH), orientation=Orientation.turned(90)), 2)
    assert turned["content_box"] == [30, 0, HEIGHT - 60, WIDTH]


def test_what_cannot_be_told_is_picture() -> None:
    tiny = LetterboxMeasure(VideoFacts(30, 20, 600, 5.0), MeasureConfig())
    raw = av.VideoFrame.from_ndarray(np.full((30, 30), 16, np.uint8), format="yuv420p")
    tiny.push(StreamFrame.of(raw, 0, 0), None)
    assert whole(tiny, 1)["content_box"] == [0, 0, 30, 20]
    unseen = Span(0, 5, 6, 0, 1)
    assert stream([letterboxed(texture())]).scores(unseen, [unseen])["content_box"] == [0, 0, WIDTH, HEIGHT]


def test_what_is_kept_of_a_sample_is_small() -> None:
    assert 4 * SIDE.itemsize <= 128


FOOTAGE = {
    "dev01_sintel_trailer_letterbox_fades.mp4": [(0, 176, [0, 57, 854, 367]), (176, 286, [0, 57, 854, 367])],
    "dev14_sintel_10s_subclip.mp4": [(0, 240, [0, 57, 854, 367])],
    "dev05_laion_slides_text_static.mp4": [(0, 120, [239, 133, 1438, 810])],
    "dev02_nasa_two_video_streams.mp4": [(0, 240, [0, 0, 480, 270]), (240, 390, [0, 0, 480, 270])],
    "dev08_asl_sign_again_person.mkv": [(0, 78, [0, 0, 640, 480])],
}
"""Spans and the boxes that the manifest of the footage gives; dev02 is a night scene without bars."""


@pytest.mark.skipif(not VIDEOS.is_dir(), reason=f"no videos in {VIDEOS}")
@pytest.mark.parametrize("name", FOOTAGE)
def test_real_bars_are_found_and_real_darkness_is_not(name: str) -> None:
    spans = [Span(number, first, last, first, last) for number, (first, last, _) in enumerate(FOOTAGE[name])]
    measure = None
    with av.open(str(VIDEOS / name)) as container:
        for index, raw in enumerate(container.decode(container.streams.best("video"))):
            if index >= spans[-1].last:
                break
            if measure is None:
                size = raw.width, raw.height
                measure = LetterboxMeasure(VideoFacts(*size, size[0] * size[1], 25.0), MeasureConfig())
            if index % 6 == 0:
                measure.push(StreamFrame.of(raw, index, index), None)
    assert measure is not None
    for span, (_, _, box) in zip(spans, FOOTAGE[name], strict=True):
        assert error_px(measure.scores(span, spans)["content_box"], box) <= 2
