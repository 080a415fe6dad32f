"""The technical measure as a whole, and its light and colour: stimuli whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.measure.stream.technical.colourfulness import colourfulness
from pipeline.measure.stream.technical.levels import clipped_frac, mean_brightness, rms_contrast
from pipeline.measure.stream.technical.strips import GRID_PX, MAX_STRIP_COLUMNS, NUM_STRIPS, STRIP_ROWS, places_within
from schemas.tables.measures import Technical
from tests.pipeline.measure.stream.technical_frames import TEXTURED, measured, of_luma, stream_frame


def test_scores_are_the_columns_of_the_row() -> None:
    assert list(of_luma([TEXTURED] * 3)) == list(Technical.__dataclass_fields__)


def test_an_image_has_no_time() -> None:
    scores = of_luma([TEXTURED])
    unknown = {name for name, value in scores.items() if value is None}
    assert unknown == {"duplicate_frames_frac", "frozen_s", "flicker"}


def test_bits_per_pixel_are_those_of_the_spans_packets() -> None:
    scores = of_luma([TEXTURED] * 4)
    assert scores["bits_per_pixel"] == pytest.approx(8 * 1000 / TEXTURED.size)


def test_a_span_has_the_scores_of_its_own_frames() -> None:
    dark = TEXTURED // 2
    frames = [stream_frame(p, i) for i, p in enumerate([TEXTURED] * 25 + [dark] * 25)]
    first, second = measured(frames, [(0, 25), (25, 50)])
    assert first == pytest.approx(of_luma([TEXTURED] * 25))
    assert second["brightness"] == pytest.approx(float((dark.mean() - 16) / 219), abs=0.01)
    assert second["contrast"] == pytest.approx(float(first["contrast"] or 0) / 2, rel=0.02)


@pytest.mark.parametrize(
    ("luma", "expected"),
    [(16, 0.0), (235, 1.0), (0, 0.0), (255, 1.0)],
)
def test_black_is_zero_and_white_is_one(luma: int, expected: float) -> None:
    assert mean_brightness(np.full((8, 8), luma, np.uint8)) == expected


def test_brightness_is_the_mean_over_the_frame() -> None:
    luma = np.array([[16, 235], [235, 235]], np.uint8)
    assert mean_brightness(luma) == pytest.approx(0.75)


def test_contrast_is_the_standard_deviation() -> None:
    luma = np.array([[51, 204]], np.uint8)
    assert rms_contrast(luma) == pytest.approx(0.3 * 255 / 219)


def test_clipped_is_within_a_hundredth_of_the_range() -> None:
    luma = np.array([[0, 18, 19, 232], [233, 255, 128, 128]], np.uint8)
    assert clipped_frac(luma) == 4 / 8


def test_it_is_the_papers_formula_on_rgb() -> None:
    rng = np.random.default_rng(3)
    rgb = cv2.resize(rng.integers(60, 200, (8, 8, 3), np.uint8), (64, 64)).astype(np.float64)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    rg, yb = r - g, 0.5 * (r + g) - b
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    y = 0.299 * r + 0.587 * g + 0.114 * b
    blue, red = (np.rint(128 + v).astype(np.uint8) for v in ((b - y) / 1.772, (r - y) / 1.402))
    narrow = [np.rint(128 + (v.astype(np.float64) - 128) * 224 / 255).astype(np.uint8) for v in (blue, red)]
    assert colourfulness(*narrow) == pytest.approx(expected, rel=0.01)


def test_grey_has_none() -> None:
    grey = np.full((9, 16), 128, np.uint8)
    assert colourfulness(grey, grey) == 0.0


@pytest.mark.parametrize(("height", "width"), [(2160, 3840), (720, 1280), (1080, 608), (150, 200), (36, 64)])
def test_they_lie_apart_on_the_grid_inside_the_picture(height: int, width: int) -> None:
    places = places_within((0.0, 1.0, 0.0, 1.0), (height, width))
    assert 1 <= len(places) <= NUM_STRIPS
    below = 0
    for rows, columns in places:
        assert rows.start % GRID_PX == columns.start % GRID_PX == 0
        assert below <= rows.start < rows.stop <= height
        assert 0 <= columns.start < columns.stop <= width
        assert columns.stop - columns.start <= MAX_STRIP_COLUMNS + GRID_PX
        below = rows.stop
    if height >= 2 * STRIP_ROWS:
        assert places[0][0].start < height / 3
        assert places[-1][0].stop > height * 2 / 3


def test_they_keep_off_the_borders() -> None:
    for rows, columns in places_within((0.1, 0.9, 0.25, 0.75), (720, 1280)):
        assert rows.start > 72
        assert rows.stop < 648
        assert columns.start > 320
        assert columns.stop < 960
