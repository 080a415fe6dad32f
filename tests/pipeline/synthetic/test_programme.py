"""Scripts can be written for any seed, and neighbouring shots always differ."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.synthetic.programme import MIN_CONTRAST, STYLES, Style, write_long_script, write_script
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene


def ground(scene: Scene, gain: float) -> np.ndarray:
    """The colour of a scene's background as it is seen, from a picture without pattern and objects."""
    plain = Scene(things=(), background=scene.background, light=scene.light)
    return render(plain, 8, 8, 1)[0, 0, 0] * gain


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_neighbours_contrast_whatever_the_seed(style: Style) -> None:
    for seed in range(40):
        script = write_script(style, seed)
        assert len(script.shots) == len(style.roles)
        for one, other in itertools.pairwise(script.shots):
            difference = np.abs(ground(one.scene, one.gain) - ground(other.scene, other.gain)).max()
            assert difference >= MIN_CONTRAST - 1


def test_seeds_write_different_scripts() -> None:
    scripts = {write_script(STYLES[0], seed) for seed in range(20)}
    assert len(scripts) == 20


def test_the_long_script_contrasts_across_its_seam() -> None:
    for seed in range(20):
        script = write_long_script(seed, width=64, height=64, fps=10, shot_s=1.0, num_shots=4, num_turns=2)
        assert len(script.shots) == 8
        assert script.shots[:4] == script.shots[4:]
        last, first = script.shots[3].scene, script.shots[4].scene
        assert np.abs(ground(last, 1.0) - ground(first, 1.0)).max() >= MIN_CONTRAST - 1
