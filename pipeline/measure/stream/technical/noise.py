"""Noise: the standard deviation of a picture's noise from the mask of Immerkaer (1996), where the picture is flat.

The mask is the difference of two Laplacians; it removes planes and straight edges and leaves the noise. sigma is
sqrt(pi / 2) / 6 times the mean of the filtered picture's absolute value. Texture passes the mask too. So, as in Tai &
Yang (2008), sigma is read where there is least structure: in the flattest quarter of the blocks that are not clipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.decode.planes import halved
from pipeline.measure.cells import cell_means
from pipeline.measure.stream.technical.levels import BLACK, WHITE

MASK = np.array([1.0, -2.0, 1.0], np.float32)
"""Immerkaer's 3x3 mask is the product of this with itself."""
SIGMA_OF_RESPONSE = math.sqrt(math.pi / 2) / 6
BLOCK_PX = 16
EVERY_STRIP = 2
"""Every other strip has enough blocks, since noise is much the same all over a picture."""
FLATTEST_FRAC = 0.25
"""Share of the blocks, those with least structure, that noise is read in."""
UNCLIPPED_LEVELS = 8
"""A block whose mean is this near to black or white has lost some of its noise to clipping."""
LEAST_UNCLIPPED_FRAC = 0.5
"""With fewer blocks unclipped, as in a page of text, those are all edges: then the clipped ones count too."""


def noise_sigma(strips: Sequence[np.ndarray]) -> float | None:
    """Standard deviation in levels of luma, of (rows, columns) uint8 strips; None if no block of 16 px fits in any."""
    blocks = [_blocks(strip) for strip in strips[::EVERY_STRIP] if min(strip.shape) >= BLOCK_PX]
    if not blocks:
        return None
    response, structure, mean = np.concatenate(blocks, axis=1)
    inside = (mean > BLACK + UNCLIPPED_LEVELS) & (mean < WHITE - UNCLIPPED_LEVELS)
    if inside.mean() >= LEAST_UNCLIPPED_FRAC:
        response, structure = response[inside], structure[inside]
    flattest = np.argsort(structure, kind="stable")[: max(1, round(FLATTEST_FRAC * len(structure)))]
    return float(np.median(response[flattest])) * SIGMA_OF_RESPONSE


def _blocks(strip: np.ndarray) -> np.ndarray:
    """Mean response, variance of structure, and mean luma of each block of a strip, (3, num blocks) float32.

    Structure is what varies within a block after averaging over 4x4 pixels, which quarters the noise.
    """
    rows, columns = (side // BLOCK_PX for side in strip.shape)
    whole = strip[: rows * BLOCK_PX, : columns * BLOCK_PX]
    response = cv2.convertScaleAbs(cv2.sepFilter2D(whole, cv2.CV_16S, MASK, MASK)).astype(np.float32)
    coarse = halved(halved(whole)).astype(np.float32)
    mean = cell_means(coarse, BLOCK_PX // 4)
    structure = cell_means(coarse * coarse, BLOCK_PX // 4) - mean * mean
    return np.stack([cell_means(response, BLOCK_PX), structure, mean]).reshape(3, -1)
