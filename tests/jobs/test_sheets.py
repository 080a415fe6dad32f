"""Sheets of pictures: which frames are shown, and where, and words in lines that fit."""

from __future__ import annotations

import numpy as np
import torch

from jobs.sheets import LABEL_PX, labels, row, sheet


def test_a_row_is_the_first_the_middle_and_the_last_frame() -> None:
    levels = torch.arange(9).view(1, 1, 9, 1, 1).expand(1, 3, 9, 4, 6)
    shown = row(levels / 127.5 - 1)
    assert shown.shape == (4, 18, 3)
    assert [shown[:, start : start + 6].max() for start in (0, 6, 12)] == [0, 4, 8]
    assert row(torch.full((1, 3, 1, 4, 6), 9.0)).min() == 255


def test_clips_of_several_sizes_are_on_white_without_overlap() -> None:
    blocks = [[np.full((size, 2 * size, 3), level, np.uint8)] * 2 for size, level in ((8, 1), (20, 2), (4, 3))]
    shown = sheet(blocks, columns=2)
    assert {level: int((shown[..., 0] == level).sum()) for level in (1, 2, 3)} == {1: 256, 2: 1600, 3: 64}
    assert set(np.unique(shown)) == {1, 2, 3, 255}


def test_words_are_in_as_many_lines_as_they_need() -> None:
    assert [label.shape for label in labels("a red circle", 100)] == [(LABEL_PX, 100, 3)]
    lines = labels("a red circle moves left and a blue square does not", 100)
    assert len(lines) > 3
    assert all((line < 128).any() for line in lines)
    assert labels("", 40)[0].min() == 255
    assert len(labels("incomprehensibilities", 20)) == 1
