"""Bars from constructed frames: found to the pixel, never taken from dark pictures."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.stages.letterbox import bars_px, content_box

BAR_LUMA = 24


def framed(top: int, bottom: int, left: int, right: int, *, height: int = 90, width: int = 160) -> np.ndarray:
    """A grey picture inside video-black bars."""
    luma = np.full((height, width), 16, np.uint8)
    luma[top : height - bottom, left : width - right] = 120
    return luma


@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (10, 12, 0, 0), (0, 0, 20, 7), (5, 6, 7, 8)])
def test_bars_are_found_to_the_pixel(sides: tuple[int, int, int, int]) -> None:
    assert bars_px(framed(*sides), BAR_LUMA) == sides


def test_compression_noise_in_a_bar_is_still_bar() -> None:
    luma = framed(10, 10, 0, 0)
    luma[4, 80] = 60
    assert bars_px(luma, BAR_LUMA) == (10, 10, 0, 0)


def test_a_dark_picture_tells_nothing() -> None:
    assert bars_px(np.full((90, 160), 16, np.uint8), BAR_LUMA) is None
    night = np.full((90, 160), 16, np.uint8)
    night[:, 60:] = 40
    assert bars_px(night, BAR_LUMA) is None


def test_a_bar_must_be_there_in_every_frame() -> None:
    assert content_box([(10, 10, 0, 0), (10, 4, 0, 0), (12, 10, 3, 0)], 160, 90) == [0, 10, 160, 76]


def test_without_a_telling_frame_all_is_picture() -> None:
    assert content_box([], 160, 90) == [0, 0, 160, 90]


def test_a_side_too_wide_for_a_bar_is_picture() -> None:
    assert content_box([(0, 0, 100, 10)], 160, 90) == [0, 0, 150, 90]
    assert content_box([(50, 5, 0, 0)], 160, 90) == [0, 0, 160, 85]
