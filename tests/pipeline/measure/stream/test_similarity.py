"""Both fits of a similarity against motions that are known because they were made."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.measure.stream.similarity import axes, displacement, fit_to_flow, step_to_picture, warped
from pipeline.synthetic.camera_moves import draw_texture

HEIGHT, WIDTH = 72, 128
MOTIONS = {
    "right": (0.03, 0.0, 0.0, 0.0),
    "down": (0.0, 0.03, 0.0, 0.0),
    "zoom": (0.0, 0.0, 0.02, 0.0),
    "turn": (0.0, 0.0, 0.0, 0.02),
    "all": (0.02, -0.015, 0.01, -0.012),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_a_flow_is_fitted_though_a_third_of_it_goes_elsewhere(name: str) -> None:
    motion = np.array(MOTIONS[name]) * 100
    x, y = (np.broadcast_to(axis, (HEIGHT, WIDTH)).ravel() for axis in axes(HEIGHT, WIDTH))
    u, v = displacement(motion, x, y)
    other = np.random.default_rng(1).random(x.size) < 0.33
    u, v = np.where(other, u + 9, u).astype(np.float32), np.where(other, v - 7, v).astype(np.float32)
    found, error2 = fit_to_flow(u, v, x, y, np.ones_like(x), (8.0, 4.0, 2.0, 1.0, 0.5))
    np.testing.assert_allclose(found, motion, atol=0.02)
    assert error2[~other].max() < 0.01 < 100 < error2[other].min()


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (96, 96)])
@pytest.mark.parametrize("name", MOTIONS)
def test_steps_lead_one_picture_to_another(name: str, size: tuple[int, int]) -> None:
    motion = np.array(MOTIONS[name])
    old = draw_texture("clouds", *size, 3)[..., 0].astype(np.float32)
    new = warped(old, motion)
    found = np.zeros(4)
    for _ in range(8):
        found += step_to_picture(warped(old, found), new)
    np.testing.assert_allclose(found, motion, atol=0.002)


def test_a_flow_and_the_warp_speak_of_the_same_motion() -> None:
    """A pixel that moves by the flow is found again where the warp takes it from, for a motion in half longer sides."""
    motion = np.array(MOTIONS["all"])
    picture = draw_texture("clouds", WIDTH, HEIGHT, 5)[..., 0].astype(np.float32)
    x, y = axes(HEIGHT, WIDTH)
    u, v = displacement(motion, x, y)
    row, column = 40, 90
    half = max(HEIGHT, WIDTH) / 2
    to_row, to_column = row + float(v[row, column]) * half, column + float(u[row, column]) * half
    near = picture[int(to_row) : int(to_row) + 2, int(to_column) : int(to_column) + 2]
    assert near.min() - 1 <= warped(picture, motion)[row, column] <= near.max() + 1
