"""Sharpness: the variance of the Laplacian (Pech-Pacheco et al. 2000), less what noise adds to it.

The 4-neighbour Laplacian of independent noise of standard deviation s has the variance (4^2 + 4 * 1^2) s^2 = 20 s^2.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

NOISE_GAIN = 20.0


def laplacian_variance(strips: Sequence[np.ndarray], noise_sigma: float) -> float:
    """Variance of the Laplacian over (rows, columns) uint8 strips of full-size luma, in squared levels, 0 or more."""
    total, squares, count = 0.0, 0.0, 0
    for strip in strips:
        inner = cv2.Laplacian(strip, cv2.CV_16S)[1:-1, 1:-1]
        total += cv2.sumElems(inner)[0]
        squares += cv2.norm(inner, cv2.NORM_L2SQR)
        count += inner.size
    if count == 0:
        return 0.0
    return max(squares / count - (total / count) ** 2 - NOISE_GAIN * noise_sigma**2, 0.0)
