"""Clips drawn by the batch are those that are drawn frame by frame."""

import numpy as np
import pytest

from jobs.fits.batched_render import draw, plan
from pipeline.synthetic.render import render
from pipeline.synthetic.world import CAMERAS, PATTERNS, draw_scene


@pytest.mark.parametrize(("width", "height", "frames"), [(96, 64, 5), (64, 96, 1), (128, 96, 2)])
def test_a_batch_shows_what_each_scene_does(width, height, frames):
    scenes = [draw_scene(seed) for seed in range(80)]
    assert {s.pattern for s in scenes} == set(PATTERNS)
    assert {s.camera for s in scenes} == set(CAMERAS)
    assert {len(s.things) for s in scenes} == {1, 2}
    drawn = draw(plan(scenes, width, height, frames)).permute(0, 2, 3, 4, 1).numpy()
    for clip, scene in zip(drawn, scenes, strict=True):
        error = np.abs(clip - render(scene, width, height, frames).astype(np.float32))
        assert error.mean() < 0.6
        assert np.mean(error > 16) < 0.002


def test_large_frames_are_refused():
    with pytest.raises(ValueError, match="320 x 200"):
        plan([draw_scene(0)], 320, 200, 1)
