"""The sheet of pictures: which frames are shown, and where."""

from __future__ import annotations

import numpy as np
import torch

from jobs.fits.autoencoder.clips import held_out_clips
from jobs.fits.autoencoder.pictures import row, rows_of, sheet
from model.codec.causal import load_autoencoder


def test_a_row_is_the_first_the_middle_and_the_last_frame() -> None:
    levels = torch.arange(9).view(1, 1, 9, 1, 1).expand(1, 3, 9, 4, 6)
    shown = row(levels / 127.5 - 1)
    assert shown.shape == (4, 18, 3)
    assert [shown[:, start : start + 6].max() for start in (0, 6, 12)] == [0, 4, 8]
    assert row(torch.full((1, 3, 1, 4, 6), 9.0)).min() == 255


def test_a_clip_is_shown_as_it_is_decoded_and_decoded_from_noisy_latents() -> None:
    (clip,) = held_out_clips((5, 64, 64), 1)
    true, decoded, noised = (picture.astype(float) for picture in rows_of(load_autoencoder(), clip))
    assert np.array_equal(true, row(clip))
    assert 0 < np.abs(decoded - true).mean() < np.abs(noised - true).mean() < 30


def test_clips_of_several_sizes_are_on_white_without_overlap() -> None:
    blocks = [[np.full((size, 2 * size, 3), level, np.uint8)] * 2 for size, level in ((8, 1), (20, 2), (4, 3))]
    shown = sheet(blocks, columns=2)
    assert {level: int((shown[..., 0] == level).sum()) for level in (1, 2, 3)} == {1: 256, 2: 1600, 3: 64}
    assert set(np.unique(shown)) == {1, 2, 3, 255}
