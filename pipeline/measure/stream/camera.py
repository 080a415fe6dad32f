"""Camera motion: a robust similarity fitted to the optical flow, and the label that it gives a clip.

Between two frames a camera moves a far scene by about a similarity (Odobez & Bouthemy 1995 fit such models to image
sequences robustly): pan, tilt, zoom and roll. `similarity.py` fits it, weighted by texture, since flat areas say
nothing, and by nearness to the border, where the background is. A large object can lead the fit astray. So where enough
of the picture has texture and stands still although the fitted model would move it, the camera is still.

Signs: a camera that pans left moves the content right (pan > 0), one that tilts up moves it down (tilt > 0), one that
zooms in spreads it (zoom > 0); roll > 0 turns the content clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from pipeline.measure.stream.borders.one_frame import Extent, lit_area
from pipeline.measure.stream.similarity import axes, displacement, fit_to_flow

NOISE_PX = 0.25
"""Error of the flow where nothing moves, at 256 px: over stills with noise of sigma 8, 95% is below 0.21 px."""
SLACK = 0.08
"""Error allowed where something moves, as a share of the speed: depth and lenses make the motion no exact
similarity."""
SCALES_PX = (8.0, 4.0, 2.0, 1.0, 0.5, 0.5)
"""Scale of the bounded error at each step: at first moving objects are within it, at last it is twice the noise."""
STILL_AREA_FRAC = 0.2
"""The camera is called still if this share of the places that the fitted model would change, weighted to the border,
does not change: 99% of synthetic moving cameras stay below 0.16 to 0.21, by kind of motion."""
TEXTURE_NOISE = 4e-5
"""Least eigenvalue of the structure tensor that counts as texture: 95% of those of noise of sigma 8 are below
3.5e-5."""
THIN = (slice(None, None, 2), slice(None, None, 2))
"""Every second pixel each way is fitted to: DIS sets its patches 4 px apart, so this loses nothing."""
UNIT_SIDE_PX = 256
"""The longer side of the frame that displacements are given for."""
BORDER_WEIGHT = 3.0
"""How much more the border counts than the middle."""


@dataclass(frozen=True)
class CameraFit:
    """The camera between two frames: `motion` is (pan, tilt, zoom, roll) in px at 256 px; `support` the share of the
    textured picture that moves so; `residual_px` the mean length of the flow without the model's."""

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
    """x and y of each pixel as a similarity takes them, and its weight by nearness to the border, (h, w) each."""
    half = max(height, width) / 2
    x, y = (np.ascontiguousarray(np.broadcast_to(axis, (height, width))) for axis in axes(height, width))
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
    motion, error2 = fit_to_flow(u, v, x, y, weight, SCALES_PX)
    speed2 = u * u + v * v
    follows = error2 < (NOISE_PX + SLACK * np.sqrt(speed2)) ** 2
    stands, moves = _witnesses(motion * cells_per_px, before, after, grid)
    if stands.sum(dtype=np.float64) > STILL_AREA_FRAC * (stands + moves).sum(dtype=np.float64):
        motion, error2 = np.zeros(4), speed2
        follows = (stands[THIN].ravel() > 0) | (speed2 < NOISE_PX**2)
    support = float((weight * follows).sum(dtype=np.float64)) / total
    return CameraFit(motion, support, float(np.sqrt(error2).mean(dtype=np.float64)))


def _inside_bars(luma: np.ndarray) -> tuple[slice, slice]:
    """What is inside black bars, less a margin for their edges, which stand still even if the camera moves."""
    rows, columns = (_within(lines, size) for lines, size in zip(lit_area(luma, BAR_LUMA), luma.shape, strict=True))
    return rows, columns


def _within(lit: Extent, size: int) -> slice:
    if lit.num_marked < LEAST_LIT_FRAC * size:
        return slice(0, size)
    return slice(lit.first + (lit.first > 0), lit.stop - (lit.stop < size))


BAR_LUMA = 32
"""Luma that no pixel of a bar exceeds; video black is 16, and reduction blurs its edge."""
LEAST_LIT_FRAC = 0.4
"""Share of a side that must be lit for the dark rest to be bars; below, it is a scene in the dark or a title."""


def _witnesses(
    motion: np.ndarray, before: np.ndarray, after: np.ndarray, grid: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (h, w) of the places that change far less than if they moved as the model says, and of the others.

    Pixels are compared instead of flow, since the patches of the flow reach across the edge of a moving object.

    Args:
        motion: (pan, tilt, zoom, roll) in pixels of these pictures.
        grid: (h, w) each, from `_grid`.
    """
    x, y, border = grid
    u, v = displacement(motion, x, y)
    shorten = 1 / np.maximum(1, np.sqrt(u * u + v * v))
    slope_x, slope_y = (cv2.Sobel(before, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    predicted = np.abs((slope_x * u + slope_y * v) * shorten)
    found = cv2.absdiff(before, after).astype(np.float32)
    predicted, found = (cv2.blur(change, (3, 3)) for change in (predicted, found))
    asked, unchanged = predicted > LEAST_CHANGE, found < UNCHANGED_FRAC * predicted
    return border * (asked & unchanged), border * (asked & ~unchanged)


LEAST_CHANGE = 1.0
"""Change of luma, 0-255, that the model must predict for its absence to count."""
UNCHANGED_FRAC = 0.35
"""A place that changes by less than this share of the predicted change stands still."""
MIN_TEXTURE_FRAC = 0.01
"""Share of the picture, as weighted, that must have texture."""


STILL_PX_S = 1.5
"""Speed below which the camera stands still, at 256 px: 0.6% of the longer side a second."""
SHAKE_PX_S = 5.0
"""Root mean square of the alternating part of pan and tilt from which the camera shakes: 2% a second."""
SECOND_FRAC = 0.5
"""A second kind of motion of this share of the first makes a motion complex, as of a pan that slants by 27 degrees."""
STEADY_FRAC = 0.5
"""Net motion over the total from which the camera goes one way; below, it turns back meanwhile."""
SMOOTH_SAMPLES = 5
"""Samples, about a second, whose median counts as intended motion: what alternates faster is shake."""
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

    By medians over the samples, so that a few wrong fits do not count.

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
