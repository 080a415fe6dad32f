"""Brightness of flat frames in both luma ranges."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.stages.brightness import mean_brightness


@pytest.mark.parametrize(
    ("luma", "full_range", "expected"),
    [(16, False, 0.0), (235, False, 1.0), (0, True, 0.0), (255, True, 1.0), (0, False, 0.0), (255, False, 1.0)],
)
def test_black_is_zero_and_white_is_one(luma: int, full_range: bool, expected: float) -> None:
    assert mean_brightness(np.full((8, 8), luma, np.uint8), full_range=full_range) == expected


def test_it_is_the_mean_over_the_frame() -> None:
    luma = np.array([[0, 255], [255, 255]], np.uint8)
    assert mean_brightness(luma, full_range=True) == pytest.approx(0.75)
