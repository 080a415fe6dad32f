"""Padding repeats the edges of a clip up to the size that is encoded; cropping takes it away again."""

import numpy as np
import pytest

from model.codec.padding import cropped, padded
from model.codec.spec import CodecPlan

PLAN = CodecPlan(encoded=(5, 16, 8), valid=(3, 10, 7), latent_shape=(1, 2, 1, 2))
CLIP = np.random.default_rng(0).integers(0, 256, (3, 7, 10, 3)).astype(np.uint8)


def test_the_last_frame_row_and_column_are_repeated():
    filled = padded(CLIP, PLAN)
    assert filled.shape == (5, 8, 16, 3)
    assert np.array_equal(filled[:3, :7, :10], CLIP)
    assert np.array_equal(filled[3:, :7, :10], np.repeat(CLIP[2:], 2, axis=0))
    assert np.array_equal(filled[:3, 7:, :10], CLIP[:, 6:])
    assert np.array_equal(filled[:3, :7, 10:], np.repeat(CLIP[:, :, 9:], 6, axis=2))


def test_cropping_undoes_padding():
    assert np.array_equal(cropped(padded(CLIP, PLAN), PLAN), CLIP)


def test_a_clip_of_whole_latents_stays_as_it_is():
    plan = CodecPlan(encoded=(3, 10, 7), valid=(3, 10, 7), latent_shape=(1, 1, 1, 1))
    assert padded(CLIP, plan) is CLIP


def test_clips_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="2 frames of 10 x 7 are not the plan's valid size"):
        padded(CLIP[:2], PLAN)
    with pytest.raises(ValueError, match="3 frames of 10 x 7 are not the plan's encoded size"):
        cropped(CLIP, PLAN)
