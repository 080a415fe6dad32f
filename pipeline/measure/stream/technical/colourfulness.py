"""Colourfulness M3 of Hasler & Suesstrunk (2003), computed on chroma alone.

M3 = sigma + 0.3 mu of the opponent colours rg = R - G and yb = (R + G) / 2 - B. With R, G and B from luma and chroma by
ITU-R BT.601, luma cancels in both, so M3 follows from the means and covariances of Cb and Cr. The paper's scale: 0 not
colourful, 15 slightly, 33 moderately, 45 averagely, 59 quite, 82 highly, 109 extremely.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

RG_OF_CHROMA = (0.344136, 2.116136)
YB_OF_CHROMA = (-1.944068, 0.343932)
"""rg and yb as weights of (Cb, Cr): R = Y + 1.402 Cr, G = Y - 0.344136 Cb - 0.714136 Cr, B = Y + 1.772 Cb."""
CHROMA_GAIN = 255.0 / 224.0
"""Chroma spans 16 to 240 (ITU-R BT.601)."""
NEUTRAL = 128.0


def colourfulness(blue: np.ndarray, red: np.ndarray) -> float:
    """M3 of a picture's (h, w) uint8 chroma planes Cb and Cr, on the scale of 8-bit RGB."""
    mean_b, mean_r, cov_bb, cov_rr, cov_br = _moments(blue, red)
    variance, mean_squared = 0.0, 0.0
    for of_blue, of_red in (RG_OF_CHROMA, YB_OF_CHROMA):
        variance += of_blue**2 * cov_bb + of_red**2 * cov_rr + 2 * of_blue * of_red * cov_br
        mean_squared += (of_blue * mean_b + of_red * mean_r) ** 2
    return CHROMA_GAIN * (math.sqrt(max(variance, 0.0)) + 0.3 * math.sqrt(mean_squared))


def _moments(blue: np.ndarray, red: np.ndarray) -> tuple[float, float, float, float, float]:
    """Means of Cb and Cr about neutral, their variances and their covariance."""
    (mean_b,), (dev_b,) = (value.ravel() for value in cv2.meanStdDev(blue))
    (mean_r,), (dev_r,) = (value.ravel() for value in cv2.meanStdDev(red))
    product = cv2.mean(cv2.multiply(blue, red, dtype=cv2.CV_32F))[0]
    return (
        float(mean_b) - NEUTRAL,
        float(mean_r) - NEUTRAL,
        float(dev_b) ** 2,
        float(dev_r) ** 2,
        product - float(mean_b) * float(mean_r),
    )
