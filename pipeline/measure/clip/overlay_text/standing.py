"""What stays in place while the picture moves: edges that keep their place and direction over time.

For a place with gradients g_t over T frames, the coherence is the mean correlation of two frames,

    (sum |sum_t g_t|^2 - sum sum_t |g_t|^2) / ((T - 1) sum sum_t |g_t|^2),

1 where every frame has the same edges and 0 where they have nothing in common (gradient correlation, Argyriou and
Vlachos 2003, over all pairs at once). Text laid over a moving picture is coherent where the rest is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from pipeline.measure.cells import cell_means

FLAT_STEP = 8.0
"""Steps of luma (0-255) below this between neighbouring pixels are noise or shading, not edges."""
SOBEL_GAIN = 4.0
"""What Sobel's 3x3 filter gives for a step of 1."""
CELL_PX = 16
"""Side of the cells that are judged one by one."""
MIN_EDGES_PER_CELL = 6.0
"""Edge pixels that a cell of 16 x 16 px needs, on average over the frames, for its movement to be seen."""
LEAST_CHANGE = 5.0
"""Standard deviation over time of a cell's mean luma (0-255) from which a cell without edges moves."""
MOVES_BELOW = 0.4
"""A cell with less coherence moves; independent pictures have 0, compressed still ones 0.7 and more."""


class EdgeStack:
    """Gradients of a clip's frames, and the coherence of any place over any of the frames.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
    """

    def __init__(self, frames: np.ndarray) -> None:
        self.num_frames, self.height, self.width = frames.shape[:3]
        self.across = np.empty(frames.shape[:3], np.int16)
        self.down = np.empty(frames.shape[:3], np.int16)
        self.cell_luma = np.stack(
            [cell_means(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), CELL_PX) for f in frames]
        )
        self._cells: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        for index, frame in enumerate(frames):
            luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            across, down = cv2.Sobel(luma, cv2.CV_16S, 1, 0), cv2.Sobel(luma, cv2.CV_16S, 0, 1)
            flat = np.abs(across) + np.abs(down) < FLAT_STEP * SOBEL_GAIN
            across[flat] = 0
            down[flat] = 0
            self.across[index], self.down[index] = across, down

    def coherence(self, box: tuple[int, int, int, int], frames: Sequence[int]) -> float:
        """Coherence of a box x0, y0, x1, y1 over at least two frames; 0 where it has no edges."""
        x0, y0, x1, y1 = box
        shared, energy = _sums(self.across[frames, y0:y1, x0:x1], self.down[frames, y0:y1, x0:x1])
        total = float(energy.sum())
        return (float(shared.sum()) - total) / ((len(frames) - 1) * total) if total > 0 else 0.0

    def pair_coherence(self, box: tuple[int, int, int, int], frame: int) -> list[float]:
        """Correlation of a box in one frame with the same box in each frame, (T,); with itself it is 1."""
        x0, y0, x1, y1 = box
        across, down = (g[:, y0:y1, x0:x1].astype(np.float32) for g in (self.across, self.down))
        products = (across * across[frame] + down * down[frame]).sum(axis=(1, 2))
        energies = (across * across + down * down).sum(axis=(1, 2))
        return [
            float(p) / max(float(np.sqrt(e * energies[frame])), 1.0) for p, e in zip(products, energies, strict=True)
        ]

    @cached_property
    def pixel_sums(self) -> tuple[np.ndarray, np.ndarray]:
        """|sum_t g|^2 and sum_t |g|^2 of every pixel over all frames, (H, W) float32 each."""
        return _sums(self.across, self.down)

    def cells(self, frames: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Coherence of every cell over some frames, and whether anything can be told of the cell, (h, w) each.

        A cell without edges whose luma changes otherwise than the whole picture's moves too; its coherence is 0.
        """
        if frames not in self._cells:
            chosen = list(frames)
            across, down = self.across[chosen], self.down[chosen]
            edges = ((across != 0) | (down != 0)).mean(axis=0, dtype=np.float32)
            shared, energy = self.pixel_sums if len(frames) == self.num_frames else _sums(across, down)
            shared, energy, edges = (cell_means(plane, CELL_PX) for plane in (shared, energy, edges))
            coherence = (shared - energy) / np.maximum((len(frames) - 1) * energy, 1e-6)
            textured = edges * CELL_PX * CELL_PX >= MIN_EDGES_PER_CELL
            changing = ~textured & (_change(self.cell_luma[chosen]) >= LEAST_CHANGE)
            self._cells[frames] = np.where(changing, 0.0, coherence), textured | changing
        return self._cells[frames]


def _change(luma: np.ndarray) -> np.ndarray:
    """Standard deviation of each cell's luma over time, (T, h, w) to (h, w), without fades of the whole picture.

    Each frame is fitted as a gain and an offset of the mean picture; the rest is change in one place.
    """
    mean = luma.mean(axis=0)
    centred = mean - mean.mean()
    spread = float((centred * centred).sum())
    left = []
    for frame in luma:
        gain = float((frame * centred).sum()) / spread if spread > 0 else 0.0
        left.append(frame - frame.mean() - gain * centred)
    return np.std(left, axis=0)


def _sums(across: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total_across = np.zeros(across.shape[1:], np.float32)
    total_down, energy = np.zeros_like(total_across), np.zeros_like(total_across)
    for x, y in zip(across.astype(np.float32), down.astype(np.float32), strict=True):
        total_across += x
        total_down += y
        energy += x * x + y * y
    return total_across * total_across + total_down * total_down, energy
