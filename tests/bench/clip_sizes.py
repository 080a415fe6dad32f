"""Sizes of the clips of a release, in tokens along time, height and width: drawn, or read from its latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet

from model.packing.patches import Patch, grid_shape

PATCH: Patch = (1, 2, 2)
Grid = tuple[int, int, int]

ASPECTS = {16 / 9: 0.5, 9 / 16: 0.2, 4 / 3: 0.1, 1.0: 0.08, 21 / 9: 0.07, 3 / 4: 0.05}
SHORT_SIDES_PX = {480: 0.6, 720: 0.4}
IMAGES = 0.15
MEDIAN_S, LOG_DEVIATION, SHORTEST_S, LONGEST_S = 3.5, 0.6, 1.0, 10.0
REDUCED, TOKEN_PX, LATENT_FRAMES_A_SECOND = 4, 32, 2


def drawn_grids(num: int, seed: int = 0) -> np.ndarray:
    """Tokens of samples along time, height and width, (num, 3).

    Clips of 480p and 720p in six aspect ratios, of log-normal durations between 1 and 10 s, and images. Their sides are
    a quarter of the native ones, so that a CPU can train on them. There are two latent frames a second, and a token has
    32 x 32 px of one.
    """
    rng = np.random.default_rng(seed)
    aspect = rng.choice(list(ASPECTS), num, p=list(ASPECTS.values()))
    short_px = rng.choice(list(SHORT_SIDES_PX), num, p=list(SHORT_SIDES_PX.values())) / REDUCED
    height_px, width_px = short_px * np.maximum(1, 1 / aspect), short_px * np.maximum(1, aspect)
    seconds = np.clip(rng.lognormal(np.log(MEDIAN_S), LOG_DEVIATION, num), SHORTEST_S, LONGEST_S)
    frames = np.where(rng.random(num) < IMAGES, 1, np.floor(seconds * LATENT_FRAMES_A_SECOND))
    return np.stack([frames, np.ceil(height_px / TOKEN_PX), np.ceil(width_px / TOKEN_PX)], axis=1).astype(int)


def read_grids(path: Path) -> np.ndarray:
    """Those of the latents in a part file of the table `latents`, with the patch of the recipes."""
    shapes = pyarrow.parquet.read_table(path, columns=["shape"])["shape"].drop_null().to_pylist()
    return np.array([grid_shape(shape, PATCH) for shape in shapes])
