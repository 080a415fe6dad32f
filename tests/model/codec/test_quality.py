"""Structural similarity by hand and by another way of computing it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.codec.quality import inside_windows, psnr_db, ssim


def video(seed: int, height: int = 14, width: int = 17) -> torch.Tensor:
    return torch.rand(2, 3, 2, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Of one 11 x 11 window, in 8-bit levels, with the sums written out (Wang et al. 2004, equations 13 to 16)."""
    place = np.arange(11) - 5
    weight = np.exp(-(place[:, None] ** 2 + place**2) / (2 * 1.5**2))
    weight /= weight.sum()
    mean_x, mean_y = (weight * x).sum(), (weight * y).sum()
    variance_x, variance_y = (weight * (x - mean_x) ** 2).sum(), (weight * (y - mean_y) ** 2).sum()
    covariance = (weight * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return above / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))


def test_similarity_of_each_window_is_that_by_hand():
    """That is in levels from 0 to 255: it matters which value is black."""
    x, y = video(1), video(2)
    found = ssim(x, y)
    assert found.shape == (2, 3, 2, 4, 7)
    for b, c, t, row, column in [(0, 0, 0, 0, 0), (1, 2, 1, 3, 6), (0, 1, 1, 2, 3)]:
        window = (b, c, t, slice(row, row + 11), slice(column, column + 11))
        expected = by_hand(*((part[window].double().numpy() + 1) * 127.5 for part in (x, y)))
        assert float(found[b, c, t, row, column]) == pytest.approx(expected, abs=1e-4)


def test_a_video_is_like_itself_and_unlike_its_negative():
    torch.testing.assert_close(ssim(video(1), video(1)), torch.ones(2, 3, 2, 4, 7))
    assert ssim(-video(1), video(1)).mean() < -0.3


def test_of_flat_pictures_only_their_brightness_is_compared():
    dark, bright = torch.full((1, 3, 1, 12, 12), -0.6), torch.full((1, 3, 1, 12, 12), 0.2)
    c1 = 0.01**2
    expected = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    torch.testing.assert_close(ssim(dark, bright), torch.full((1, 3, 1, 2, 2), expected), rtol=1e-3, atol=1e-3)


def test_what_is_compared_is_clipped():
    truth = video(1).sign()
    torch.testing.assert_close(ssim(3 * truth, truth), torch.ones(2, 3, 2, 4, 7))


def test_a_window_lies_around_its_pixel():
    """An error in one corner is seen by the one window that reaches it."""
    truth = video(1)
    faulty = truth.clone()
    faulty[..., 0, 0] = -truth[..., 0, 0].sign()
    changed = (ssim(faulty, truth) < 1 - 1e-6)[0, 0, 0]
    assert changed.nonzero().tolist() == [[0, 0]]
    place = torch.arange(14 * 17).view(14, 17)
    assert inside_windows(place)[0, 0] == place[5, 5]
    assert inside_windows(place).shape == changed.shape


def test_frames_below_the_window_are_refused():
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim(video(1, height=10), video(1, height=10))


def test_the_noise_ratio_is_of_the_range():
    assert psnr_db(torch.zeros(4), torch.full((4,), 0.2)) == pytest.approx(20.0, abs=1e-4)
