"""Borders of single frames, drawn around smooth pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.measure.stream.borders.one_frame import Extent, extent, find_bars, lit_area

BLACK = 16


def picture(seed: int, height: int = 144, width: int = 256) -> np.ndarray:
    """Smooth blobs, (height, width) uint8, from 40 to 220."""
    coarse = np.random.default_rng(seed).integers(40, 220, (6, 8)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(40, 220)


def framed(sides: tuple[int, int, int, int], level: int = BLACK) -> np.ndarray:
    """A picture of 144 x 256 px with bars above, below, left and right."""
    return cv2.copyMakeBorder(picture(4), *sides, cv2.BORDER_CONSTANT, value=[level])


@pytest.mark.parametrize("sides", [(20, 20, 0, 0), (0, 0, 60, 60), (17, 18, 30, 31), (0, 9, 0, 0)])
def test_the_lit_area_is_what_bars_leave(sides: tuple[int, int, int, int]) -> None:
    top, bottom, left, _ = sides
    rows, columns = lit_area(framed(sides), 24)
    assert (rows.first, rows.stop) == (top, top + 144)
    assert (columns.first, columns.stop) == (left, left + 256)
    assert lit_area(framed(sides), 15)[0] == Extent(0, top + 144 + bottom, top + 144 + bottom)  # bars are lit as well


def test_lines_are_counted_also_where_they_do_not_adjoin() -> None:
    assert extent(np.array([False, True, False, False, True, False])) == Extent(1, 5, 2)
    assert extent(np.zeros(4, bool)) == Extent(0, 0, 0)


@pytest.mark.parametrize("level", [BLACK, 90])
def test_bars_of_any_level_are_found(level: int) -> None:
    bars = find_bars(framed((17, 18, 30, 31), level))
    assert bars is not None
    assert (bars.level, bars.rows, bars.columns) == (level, (17, 18), (30, 31))
    assert bars.inside(framed((17, 18, 30, 31), level)).shape == (142, 254)  # less a line beside each bar


def test_a_logo_on_a_bar_leaves_it_a_bar() -> None:
    luma = framed((24, 24, 0, 0))
    luma[4:18, 190:250] = 200
    bars = find_bars(luma)
    assert bars is not None
    assert bars.rows == (24, 24)


def test_what_a_thing_on_flat_ground_leaves_free_is_no_bar() -> None:
    luma = np.full((144, 256), BLACK, np.uint8)
    luma[40:100, 80:160] = 200
    assert find_bars(luma) is None


def test_bars_last_while_the_picture_is_too_dark_to_show_them() -> None:
    luma = framed((20, 20, 0, 0))
    bars = find_bars(luma)
    dark = np.full_like(luma, BLACK)
    dark[60:80, 100:150] = 60
    assert bars is not None
    assert find_bars(dark) is None
    assert find_bars(dark, bars) == bars
    assert find_bars(picture(4, 184), bars) is None
