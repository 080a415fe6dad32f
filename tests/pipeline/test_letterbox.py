"""Borders of drawn clips, after x264, against the boxes that they were drawn with."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.drawn.borders import Border
from tests.bench.letterbox import Case, error_px, frames_of, measured

SIZE = (640, 360)
BORDERS = {
    "none": Border((0, 0, 0, 0)),
    "letterbox": Border((45, 44, 0, 0)),
    "pillarbox": Border((0, 0, 81, 81)),
    "windowbox": Border((30, 31, 70, 72)),
    "one side": Border((40, 0, 0, 0)),
}


@pytest.mark.parametrize("name", BORDERS)
def test_the_content_box_is_the_drawn_one(name: str) -> None:
    scores, _ = measured(frames_of(Case(name, 0, SIZE, BORDERS[name]), []), SIZE, crf=22)
    box = BORDERS[name].box(*SIZE)
    assert error_px(scores["content_box"], box) <= 2
    assert scores["border_kind"] == ("none" if name == "none" else "black")
    assert scores["short_side_px"] == min(scores["content_box"][2:])
    assert np.isclose(scores["bars_frac"], 1 - np.prod(scores["content_box"][2:]) / np.prod(SIZE))
