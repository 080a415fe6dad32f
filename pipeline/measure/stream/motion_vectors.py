"""Motion by the codec's own vectors: what the encoder found to move, at the cost of reading it.

The definition is that of cosmos-curate's motion filter (nvidia-cosmos/cosmos-curate, motion_vector_backend.py at
29f1358b75ea), so that its thresholds hold: at 2 frames a second, every pixel takes the length of its block's vector
over the frame's width plus height; intra blocks count as still, frames without any vector are left out. The global mean
is over pixels and frames. The patch minimum resizes the mean over frames bilinearly by 1/256 and takes the least; at
that scale bilinear sampling reads the four pixels in the middle of each patch, and no others. Two things differ: they
read only the first half of a clip, we read all of it; and they refuse videos with a side below 256 px, where we give
null for the patches and keep the mean.

Vectors come from H.264, MPEG-4 part 2 and other codecs of the H.26x family, as FFmpeg decodes them; VP8, VP9, AV1 and
HEVC export none.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

import numpy as np

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.frame import Span, StreamFrame

SAMPLE_HZ = 2.0
"""Frames read a second (cosmos-curate: 2)."""
PATCH_PX = 256
"""Side of the patches whose least motion is taken (cosmos-curate: 256)."""
CELL_PX = 8
"""Blocks are on a grid of 8 px, and none is smaller."""
BLOCKS = ((8, 8), (16, 16), (16, 8), (8, 16))
"""Width and height of the blocks, in the order in which later ones cover earlier ones."""


def cell_motion(vectors: np.ndarray, width: int, height: int) -> np.ndarray:
    """How far each cell of 8x8 px moves, over the frame's width plus height; 0 where no vector says.

    Where a block has two vectors, as in B frames, the later one counts.

    Args:
        vectors: FFmpeg's AVMotionVector records; `dst` is a block's middle, which may be outside of the frame.
    Returns:
        (ceil(height / 8), ceil(width / 8)) float32.
    """
    rows, columns = math.ceil(height / CELL_PX), math.ceil(width / CELL_PX)
    cells = np.zeros((rows, columns), np.float32)
    scale = vectors["motion_scale"].astype(np.float32)
    dx, dy = vectors["motion_x"] / scale, vectors["motion_y"] / scale
    length = np.sqrt(dx * dx + dy * dy) / (width + height)
    for block_width, block_height in BLOCKS:
        chosen = (vectors["w"] == block_width) & (vectors["h"] == block_height)
        down, right = np.indices((block_height // CELL_PX, block_width // CELL_PX)).reshape(2, 1, -1)
        top = (vectors["dst_y"][chosen, None].astype(np.int32) - block_height // 2) // CELL_PX
        left = (vectors["dst_x"][chosen, None].astype(np.int32) - block_width // 2) // CELL_PX
        y, x = np.clip(top + down, 0, rows - 1), np.clip(left + right, 0, columns - 1)
        cells[y, x] = length[chosen, None]
    return cells


def cell_shares(width: int, height: int) -> np.ndarray:
    """The share of the frame's pixels in each cell; those at the right and bottom edge may be cut."""
    sides = (
        np.diff(np.minimum(np.arange(0, length + CELL_PX, CELL_PX), length)) / length for length in (height, width)
    )
    down, across = sides
    return np.outer(down, across)


def patch_samples(cells: np.ndarray, width: int, height: int) -> np.ndarray:
    """What bilinear sampling reads of each patch of 256 px: the mean of the four pixels in its middle.

    Returns:
        flat, one number a patch; empty if a side is below 256 px.
    """
    if min(width, height) < PATCH_PX:
        return np.zeros(0, np.float32)
    rows, columns = _middle_cells(height), _middle_cells(width)
    four = [cells[np.ix_(rows[:, down], columns[:, right])] for down in (0, 1) for right in (0, 1)]
    return (sum(four[1:], four[0]) / 4).ravel()


def _middle_cells(length: int) -> np.ndarray:
    """The cells of the two pixels in the middle of each patch, (patches, 2); a patch of which half is cut is none."""
    before = np.arange(round(length / PATCH_PX)) * PATCH_PX + PATCH_PX // 2 - 1
    return np.minimum(np.stack([before, before + 1], axis=1), length - 1) // CELL_PX


@dataclass
class VectorMotion:
    """Collects the vectors of a few frames a second; a frame costs a number, and one for each patch."""

    sample_hz: float = SAMPLE_HZ
    _size: tuple[int, int] | None = None
    _next_us: int = 0
    _shares: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    _indices: array = field(default_factory=lambda: array("q"))
    _means: array = field(default_factory=lambda: array("d"))
    _patches: array = field(default_factory=lambda: array("f"))

    def push(self, frame: StreamFrame) -> None:
        """Take the next frame of the video; most are passed over."""
        size = frame.raw.width, frame.raw.height
        if self._size is None:
            self._size, self._next_us, self._shares = size, frame.time_us, cell_shares(*size)
        if frame.time_us < self._next_us:
            return
        self._next_us = frame.time_us + round(MICROSECONDS / self.sample_hz)
        vectors = frame.motion_vectors
        if vectors is None or size != self._size:
            return
        cells = cell_motion(vectors, *size)
        self._indices.append(frame.index)
        self._means.append(float((cells * self._shares).sum()))
        self._patches.extend(patch_samples(cells, *size).tolist())

    def scores(self, span: Span) -> dict[str, float | None]:
        """`vector_motion` and `vector_motion_patch_min` of a span; null where none of its frames has vectors."""
        indices = np.frombuffer(self._indices, np.int64)
        inside = (indices >= span.first) & (indices < span.last)
        if not inside.any():
            return {"vector_motion": None, "vector_motion_patch_min": None}
        patches = np.frombuffer(self._patches, np.float32).reshape(len(indices), -1)[inside]
        return {
            "vector_motion": float(np.frombuffer(self._means, np.float64)[inside].mean()),
            "vector_motion_patch_min": float(patches.mean(axis=0).min()) if patches.shape[1] else None,
        }
