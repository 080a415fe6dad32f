"""A sign in a corner is a logo when it stands while the picture moves, and never where nothing moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.measure.clip.overlay_text.logo import logo_boxes
from pipeline.measure.clip.overlay_text.standing import EdgeStack
from pipeline.synthetic.lettering import stamp_logo

WIDTH, HEIGHT, NUM_FRAMES = 320, 180, 10


def panned(seed: int, step_px: int) -> np.ndarray:
    """A rough texture, moved by `step_px` a frame, (T, H, W, 3) uint8."""
    grain = np.random.default_rng(seed).random((40, 120, 3), np.float32)
    canvas = cv2.resize(grain, (WIDTH + 10 * NUM_FRAMES, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    canvas = (200 * canvas).astype(np.uint8)
    return np.stack([canvas[:, step_px * i : step_px * i + WIDTH] for i in range(NUM_FRAMES)])


@pytest.mark.parametrize("alpha", [1.0, 0.6])
@pytest.mark.parametrize("size_px", [16, 30])
def test_a_logo_is_found_where_it_was_painted(size_px: int, alpha: float) -> None:
    painted = stamp_logo(panned(1, 5), size_px, alpha, seed=size_px)
    boxes = logo_boxes(EdgeStack(painted.frames), [])
    assert len(boxes) == 1
    x, y, w, h = painted.boxes[0] or (0, 0, 0, 0)
    assert np.abs(np.array(boxes[0]) - (x, y, w, h)).max() <= 5


@pytest.mark.parametrize("step_px", [5, 0])
def test_no_logo_without_one(step_px: int) -> None:
    assert logo_boxes(EdgeStack(panned(2, step_px)), []) == []


def test_no_evidence_in_a_still_picture() -> None:
    assert logo_boxes(EdgeStack(stamp_logo(panned(3, 0), 24, 1.0, seed=1).frames), []) == []


def test_bars_vignettes_and_a_still_background_are_no_logo() -> None:
    frames = panned(4, 5)
    frames[:, :20] = frames[:, -20:] = 0
    ys, xs = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    vignette = np.clip(1.3 - xs**2 - ys**2, 0.2, 1)[..., None]
    assert logo_boxes(EdgeStack((frames * vignette).astype(np.uint8)), []) == []
    behind = panned(5, 0)
    behind[:, 60:120, 100:200] = panned(6, 5)[:, 60:120, 100:200]
    assert logo_boxes(EdgeStack(behind), []) == []


def test_a_sign_in_the_middle_is_no_logo() -> None:
    frames = panned(7, 5)
    for frame in frames:
        cv2.circle(frame, (WIDTH // 2, HEIGHT // 2), 14, (255, 255, 255), 3)
    assert logo_boxes(EdgeStack(frames), []) == []
