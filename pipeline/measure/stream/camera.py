"""Camera motion: a robust similarity fitted to the optical flow, and the label it adds up to over a clip.

Between two frames a camera moves a far scene by about a similarity (Odobez & Bouthemy 1995 fit such models to image
sequences robustly): with x and y from the middle, in half longer sides, and c = (pan, tilt, zoom, roll),

    u = pan + zoom x - roll y,        v = tilt + zoom y + roll x.

In these units each of the four is a displacement at the picture's edge, so they can be compared. The fit minimises
Geman and McClure's bounded error while its scale shrinks (graduated non-convexity, Blake & Zisserman 1987), weighted by
texture, since flat areas say nothing, and by nearness to the border, where the background is. A part of the picture
that has texture and stands still while the fitted model would move it decides that the camera is still, however large
the object that the model follows.

Signs: a camera that pans left moves the content right (pan > 0), one that tilts up moves it down (tilt > 0), one that
zooms in spreads it (zoom > 0); roll > 0 turns the content clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

NOISE_PX = 0.25
"""What flow is wrong by where nothing moves, at 256 px: over stills with noise of sigma 8, 95% is below 0.21 px."""
SLACK = 0.08
"""What it may be wrong by where something moves, as a share of the speed: depth and lenses that are no similarity."""
SCALES_PX = (8.0, 4.0, 2.0, 1.0, 0.5, 0.5)
"""Scale of the bounded error at each step, from that which takes in whole moving objects down to twice the noise."""
STILL_AREA_FRAC = 0.2
"""Share of the places that would change by the fitted model, weighted to the border, that must stand still for the
camera to be called still: 99% of drawn moving cameras stay below 0.16 to 0.21, by kind of motion."""
TEXTURE_NOISE = 4e-5
"""Least eigenvalue of the structure tensor that is texture: 95% of what noise of sigma 8 leaves is below 3.5e-5."""
THIN = (slice(None, None, 2), slice(None, None, 2))
"""The cells that are fitted to: DIS sets its patches 4 px apart, so that half of the cells each way lose nothing."""
UNIT_SIDE_PX = 256
"""The longer side of the frame that displacements are given for."""
BORDER_WEIGHT = 3.0
"""How much more the border counts than the middle."""


@dataclass(frozen=True)
class CameraFit:
    """The camera between two frames: `motion` is (pan, tilt, zoom, roll) in px at 256 px; `support` the share of the
    textured picture that moves so; `residual_px` the mean length of what the model leaves of the flow."""

    motion: np.ndarray
    support: float
    residual_px: float


def texture_weight(luma: np.ndarray) -> np.ndarray:
    """How well each pixel's motion can be seen, 0 to below 1: the least eigenvalue of the structure tensor, saturated.

    Args:
        luma: (h, w) uint8.
    """
    eigenvalue = cv2.cornerMinEigenVal(luma, blockSize=5, ksize=3)
    return eigenvalue / (eigenvalue + TEXTURE_NOISE)


@lru_cache(maxsize=16)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x and y of each cell from the middle, in half longer sides, and its weight by nearness to the border."""
    half = max(height, width) / 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - (width - 1) / 2) / half, (y - (height - 1) / 2) / half
    nearness = np.maximum(np.abs(x) * half * 2 / width, np.abs(y) * half * 2 / height)
    return x, y, 1 + (BORDER_WEIGHT - 1) * nearness**2


def fit_camera(flow: np.ndarray, before: np.ndarray, after: np.ndarray) -> CameraFit | None:
    """The similarity that most of the background follows; None where there is no texture to see motion by.

    Args:
        flow: (h, w, 2) float32, displacement in px at 256 px for the longer side.
        before, after: (h, w) uint8, what the flow is between.
    """
    cells_per_px = max(before.shape) / UNIT_SIDE_PX
    inside = _inside_bars(np.maximum(before, after))
    grid = tuple(values[inside] for values in _grid(*before.shape))
    flow, before, after = flow[inside], before[inside], after[inside]
    x, y, border = (values[THIN].ravel() for values in grid)
    weight = texture_weight(before)[THIN].ravel() * border
    total = float(weight.sum(dtype=np.float64))
    if total < MIN_TEXTURE_FRAC * float(border.sum(dtype=np.float64)):
        return None
    u, v = flow[THIN][..., 0].ravel(), flow[THIN][..., 1].ravel()
    motion = np.array([_median(u, weight), _median(v, weight), 0.0, 0.0])
    terms = np.stack([np.ones_like(x), x, y, u, v, x * x + y * y, x * u + y * v, x * v - y * u])
    for scale in SCALES_PX:
        error2 = _error2(motion, u, v, x, y)
        motion = _least_squares(terms, weight * (scale**2 / (scale**2 + error2)) ** 2)
    error2 = _error2(motion, u, v, x, y)
    speed2 = u * u + v * v
    follows = error2 < (NOISE_PX + SLACK * np.sqrt(speed2)) ** 2
    stands, moves = _witnesses(motion * cells_per_px, before, after, grid)
    if stands.sum(dtype=np.float64) > STILL_AREA_FRAC * (stands + moves).sum(dtype=np.float64):
        motion, error2 = np.zeros(4), speed2
        follows = (stands[THIN].ravel() > 0) | (speed2 < NOISE_PX**2)
    support = float((weight * follows).sum(dtype=np.float64)) / total
    return CameraFit(motion, support, float(np.sqrt(error2).mean(dtype=np.float64)))


def _inside_bars(luma: np.ndarray) -> tuple[slice, slice]:
    """What lies inside black bars, whose edges stand still whatever the camera does, less a margin for those edges."""
    rows, columns = (_lit(luma.max(axis=along)) for along in (1, 0))
    return rows, columns


def _lit(brightest: np.ndarray) -> slice:
    lit = np.flatnonzero(brightest > BAR_LUMA)
    size = len(brightest)
    if len(lit) < LEAST_LIT_FRAC * size:
        return slice(0, size)
    first, last = int(lit[0]), int(lit[-1]) + 1
    return slice(first + (first > 0), last - (last < size))


BAR_LUMA = 32
"""Luma that no pixel of a bar exceeds; video black is 16, and reduction blurs its edge."""
LEAST_LIT_FRAC = 0.4
"""Share of a side that must be lit for the dark rest to be bars; below, it is a scene in the dark or a title."""


def _witnesses(
    motion: np.ndarray, before: np.ndarray, after: np.ndarray, grid: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (h, w) of the places that change far less than if they moved as the model says, and of those that change.

    Pixels are compared, not flow, whose patches reach across the edge of a moving object.

    Args:
        motion: (pan, tilt, zoom, roll) in pixels of these pictures.
        grid: (h, w) each, from `_grid`.
    """
    x, y, border = grid
    u, v = _displacement(motion, x, y)
    shorten = 1 / np.maximum(1, np.sqrt(u * u + v * v))
    slope_x, slope_y = (cv2.Sobel(before, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    foretold = np.abs((slope_x * u + slope_y * v) * shorten)
    found = cv2.absdiff(before, after).astype(np.float32)
    foretold, found = (cv2.blur(change, (3, 3)) for change in (foretold, found))
    asked, unchanged = foretold > LEAST_CHANGE, found < UNCHANGED_FRAC * foretold
    return border * (asked & unchanged), border * (asked & ~unchanged)


LEAST_CHANGE = 1.0
"""Change of luma, 0-255, that a model must foretell for its absence to count."""
UNCHANGED_FRAC = 0.35
"""Share of the change that the model foretells up to which a place stands still."""
MIN_TEXTURE_FRAC = 0.01
"""Share of the picture, as weighted, that must have texture."""


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order], dtype=np.float64)
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _error2(motion: np.ndarray, u: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    model_u, model_v = _displacement(motion, x, y)
    return (u - model_u) ** 2 + (v - model_v) ** 2


def _displacement(motion: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pan, tilt, zoom, roll = motion.astype(np.float32)
    return pan + zoom * x - roll * y, tilt + zoom * y + roll * x


def _least_squares(terms: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares of the similarity in closed form: middles first, then zoom and roll about them.

    Args:
        terms: (8, n) 1, x, y, u, v, r^2, the flow along r, and across it.
    """
    # NumPy's own sums: those of a BLAS may depend on where an array lies in memory.
    w, wx, wy, wu, wv, wr2, wdot, wcross = (terms * weight).sum(axis=1).astype(np.float64)
    spread = wr2 - (wx * wx + wy * wy) / w
    if spread < 1e-6 * w:
        return np.array([wu / w, wv / w, 0.0, 0.0])
    zoom = (wdot - (wx * wu + wy * wv) / w) / spread
    roll = (wcross - (wx * wv - wy * wu) / w) / spread
    return np.array([(wu - zoom * wx + roll * wy) / w, (wv - zoom * wy - roll * wx) / w, zoom, roll])


STILL_PX_S = 1.5
"""Speed below which the camera stands still, at 256 px: 0.6% of the longer side a second."""
SHAKE_PX_S = 5.0
"""Root mean square of the alternating part of pan and tilt from which the camera shakes: 2% a second."""
SECOND_FRAC = 0.5
"""A second kind of motion, over the first, from which a motion is complex: a pan that slants by 27 degrees or more."""
STEADY_FRAC = 0.5
"""Net motion over the total from which the camera goes one way; below, it turns back on the way."""
SMOOTH_SAMPLES = 5
"""Samples whose mean counts as intended motion, about a second: what alternates faster is shake."""
WAYS = (("pan right", "pan left"), ("tilt down", "tilt up"), ("zoom out", "zoom in"), ("roll", "roll"))
"""Labels of pan, tilt, zoom and roll where they are negative and where they are positive."""


def camera_scores(motion_px_s: np.ndarray, support: np.ndarray, residual_px_s: np.ndarray) -> dict[str, Any]:
    """The columns of `Camera` from the fits of a clip, in the order of time.

    Args:
        motion_px_s: (n, 4) pan, tilt, zoom, roll; a row is NaN where there was nothing to fit.
        support, residual_px_s: (n,)
    """
    seen = ~np.isnan(support)
    if not seen.any():
        return dict.fromkeys(("camera_motion", "camera_strength", "camera_confidence", "object_motion_px_s"))
    label, strength = label_motion(motion_px_s[seen])
    return {
        "camera_motion": label,
        "camera_strength": strength,
        "camera_confidence": float(support[seen].mean()),
        "object_motion_px_s": float(residual_px_s[seen].mean()),
    }


def label_motion(motion_px_s: np.ndarray) -> tuple[str, float]:
    """What a camera does for most of a clip, and how fast in px/s at the picture's edge.

    Medians over the samples, so that a few frames in which the fit is led astray do not count.

    Args:
        motion_px_s: (n, 4) pan, tilt, zoom, roll, n >= 1.
    """
    smooth = _running_median(motion_px_s)
    shake = RMS_OF_MEDIAN * _median_length((motion_px_s - smooth)[:, :2])
    drift = _median_length(smooth)
    if shake >= SHAKE_PX_S and shake > drift:
        return "shake", shake
    if drift < STILL_PX_S:
        return "still", drift
    net = smooth.mean(axis=0)
    first, second = np.argsort(-np.abs(net), kind="stable")[:2]
    steady = np.abs(net[first]) >= STEADY_FRAC * drift
    if not steady or np.abs(net[second]) >= SECOND_FRAC * np.abs(net[first]):
        return "complex", drift
    return WAYS[first][int(net[first] > 0)], float(np.abs(net[first]))


RMS_OF_MEDIAN = 1.2
"""Root mean square over median of the length of a normal vector in the plane: 1 / sqrt(ln 2)."""


def _median_length(vectors: np.ndarray) -> float:
    return float(np.median(np.sqrt((vectors**2).sum(axis=1))))


def _running_median(motion_px_s: np.ndarray) -> np.ndarray:
    """Median of the samples around each; the ends are mirrored."""
    reach = SMOOTH_SAMPLES // 2
    padded = np.pad(motion_px_s, ((reach, reach), (0, 0)), mode="symmetric")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, SMOOTH_SAMPLES, axis=0), axis=-1)
