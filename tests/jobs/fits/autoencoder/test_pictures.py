"""The rows of a clip."""

from __future__ import annotations

import numpy as np

from jobs.fits.autoencoder.clips import held_out_clips
from jobs.fits.autoencoder.pictures import rows_of
from jobs.sheets import row
from model.codec.causal import load_autoencoder


def test_a_clip_is_shown_as_it_is_decoded_and_decoded_from_noisy_latents() -> None:
    (clip,) = held_out_clips((5, 64, 64), 1)
    true, decoded, noised = (picture.astype(float) for picture in rows_of(load_autoencoder(), clip))
    assert np.array_equal(true, row(clip))
    assert 0 < np.abs(decoded - true).mean() < np.abs(noised - true).mean() < 30
