"""Similarities: a shift, a zoom and a turn of the whole picture, fitted to a flow field or to the pictures themselves.

With x and y from the picture's middle, in half longer sides, and c = (right, down, zoom, turn), a point moves by

    u = right + zoom x - turn y,        v = down + zoom y + turn x.

In these units each of the four is a displacement at the picture's edge, so they can be compared. Both fits minimise
Geman and McClure's (1987) bounded error, so that parts which do not follow the model have little weight. They serve two
purposes. `fit_to_flow` takes a dense flow that is there anyway and finds how most of the picture moves. For a picture
that moves as a whole, `step_to_picture` improves a similarity until it leaves the least difference in luma.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

OUTLIER_LEVELS = 6.0
"""Difference of luma, of 255, from which a pixel counts little in `step_to_picture`."""


def axes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x (1, w) and y (h, 1) of each pixel from the middle, in half longer sides, float32."""
    half = max(height, width) / 2
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / half
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / half
    return x[None, :], y[:, None]


def displacement(motion: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u and v at x and y, by a similarity (4,)."""
    right, down, zoom, turn = motion.astype(np.float32)
    return right + zoom * x - turn * y, down + zoom * y + turn * x


def fit_to_flow(
    u: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray, weight: np.ndarray, scales: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """The similarity that most of the weighted flow follows, and the squared error of each place.

    Reweighted least squares while the scale of the bounded error shrinks (graduated non-convexity, Blake & Zisserman
    1987), from the weighted median of the flow.

    Args:
        u, v: (n,) float32, how far each place goes; the result is in the same unit.
        x, y: (n,) float32, where it is, as `axes` says.
        weight: (n,) float32, how much it counts.
        scales: of the bounded error at each step, in the unit of the flow.
    Returns:
        (4,) float64, and (n,) float32.
    """
    motion = np.array([_median(u, weight), _median(v, weight), 0.0, 0.0])
    terms = np.stack([np.ones_like(x), x, y, u, v, x * x + y * y, x * u + y * v, x * v - y * u])
    for scale in scales:
        error2 = _error2(motion, u, v, x, y)
        motion = _least_squares(terms, weight * (scale**2 / (scale**2 + error2)) ** 2)
    return motion, _error2(motion, u, v, x, y)


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order], dtype=np.float64)
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _error2(motion: np.ndarray, u: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    model_u, model_v = displacement(motion, x, y)
    return (u - model_u) ** 2 + (v - model_v) ** 2


def _least_squares(terms: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares of the similarity in closed form: middles first, then zoom and turn about them.

    Args:
        terms: (8, n) 1, x, y, u, v, r^2, the flow along r, and across it.
    """
    # NumPy's own sums: those of a BLAS may depend on where an array is in memory.
    w, wx, wy, wu, wv, wr2, wdot, wcross = (terms * weight).sum(axis=1).astype(np.float64)
    spread = wr2 - (wx * wx + wy * wy) / w
    if spread < 1e-6 * w:
        return np.array([wu / w, wv / w, 0.0, 0.0])
    zoom = (wdot - (wx * wu + wy * wv) / w) / spread
    turn = (wcross - (wx * wv - wy * wu) / w) / spread
    return np.array([(wu - zoom * wx + turn * wy) / w, (wv - zoom * wy - turn * wx) / w, zoom, turn])


def warped(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """A (h, w) float32 picture, each pixel taken from where `motion`, in half longer sides, leads from it."""
    height, width = picture.shape
    half = max(height, width) / 2
    right, down, zoom, turn = motion
    cx, cy = (width - 1) / 2, (height - 1) / 2
    source = np.array(
        [
            [1 + zoom, -turn, right * half - zoom * cx + turn * cy],
            [turn, 1 + zoom, down * half - turn * cx - zoom * cy],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, source, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def step_to_picture(picture: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The Gauss-Newton step (Lucas & Kanade 1981) of `warped`'s motion that brings a picture nearer to another.

    Args:
        picture, wanted: (h, w) float32 luma.
    Returns:
        (4,) float64, in half longer sides.
    """
    half = max(wanted.shape) / 2
    gx = cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=half / 8)
    gy = cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=half / 8)
    x, y = axes(*wanted.shape)
    basis = np.stack([gx, gy, x * gx + y * gy, x * gy - y * gx]).reshape(4, -1)
    error = (wanted - picture).ravel()
    weights = 1.0 / (1.0 + (error / OUTLIER_LEVELS) ** 2) ** 2
    weighted = basis * weights
    normal = weighted @ basis.T + np.eye(4) * 1e-3 * half**2
    return np.linalg.solve(normal.astype(np.float64), (weighted @ error).astype(np.float64))
