"""Optical-flow speed of textures that are shifted by a known amount."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.stages.motion import FlowSpeed


def texture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def speed(shift_px: float, interval_us: int, *, height: int = 144, width: int = 256) -> float | None:
    flow = FlowSpeed()
    whole = texture(height, width + 32)
    moved = cv2.warpAffine(whole, np.array([[1, 0, -shift_px], [0, 1, 0]], np.float32), whole.shape[::-1])
    assert flow.push(whole[:, 16 : 16 + width], 0) is None
    return flow.push(moved[:, 16 : 16 + width], interval_us)


@pytest.mark.parametrize("shift_px", [1.0, 3.0, 6.0])
def test_a_shift_is_measured_in_pixels_a_second(shift_px: float) -> None:
    assert speed(shift_px, 200_000) == pytest.approx(shift_px / 0.2, rel=0.1)


def test_half_the_interval_is_twice_the_speed() -> None:
    assert speed(3.0, 100_000) == pytest.approx(2 * (speed(3.0, 200_000) or 0))


def test_the_unit_is_the_frame_of_256_px_whatever_the_size() -> None:
    assert speed(1.5, 200_000, height=72, width=128) == pytest.approx(3.0 / 0.2, rel=0.1)


def test_a_still_frame_has_no_speed() -> None:
    assert speed(0.0, 200_000) == pytest.approx(0.0, abs=0.01)


def test_a_frame_too_small_for_patches_is_not_measured() -> None:
    assert speed(1.0, 200_000, height=8, width=64) is None
