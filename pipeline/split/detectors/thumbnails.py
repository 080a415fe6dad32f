"""Frames reduced until they are cheap to compare, and a store of the last few hundred."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from pipeline.decode.frame import TINY_HEIGHT, TINY_WIDTH, StreamFrame, tiny_picture
from pipeline.decode.planes import halved

COARSE_WIDTH, COARSE_HEIGHT = 8, 5


@dataclass(frozen=True)
class Thumbnail:
    """Luma and both chroma planes of a small picture; `values` holds all three, one after the other, uint8."""

    values: np.ndarray
    shape: tuple[int, ...]
    chroma_shape: tuple[int, ...]

    @classmethod
    def of(cls, frame: StreamFrame) -> Thumbnail:
        """A frame with its planes halved as often as TransNet's 48 x 27 pixels allow."""
        luma, blue, red = frame.luma, frame.blue, frame.red
        while luma.shape[0] >= 2 * (TINY_HEIGHT + 1) and luma.shape[1] >= 2 * TINY_WIDTH:
            luma, blue, red = halved(luma), halved(blue), halved(red)
        return cls.of_planes(luma, blue, red)

    @classmethod
    def of_planes(cls, luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> Thumbnail:
        return cls(np.concatenate([luma.ravel(), blue.ravel(), red.ravel()]), luma.shape, blue.shape)

    @property
    def planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        num, part = math.prod(self.shape), math.prod(self.chroma_shape)
        luma, blue, red = self.values[:num], self.values[num : num + part], self.values[num + part :]
        return luma.reshape(self.shape), blue.reshape(self.chroma_shape), red.reshape(self.chroma_shape)

    @property
    def tiny(self) -> np.ndarray:
        """The frame as TransNet takes it, (27, 48, 3) uint8 RGB."""
        return tiny_picture(*self.planes)

    @cached_property
    def luma_range(self) -> tuple[int, int]:
        """The levels that a fiftieth of the luma is at or below, and at or above."""
        luma = self.planes[0].ravel()
        rest = luma.size // 50
        low, high = np.partition(luma, (rest, luma.size - 1 - rest))[[rest, luma.size - 1 - rest]]
        return int(low), int(high)

    @cached_property
    def coarse(self) -> Thumbnail:
        """The frame at 8 x 5 pixels, where textures and small objects are gone."""
        width, height = COARSE_WIDTH, COARSE_HEIGHT
        sizes = (width, height), (width // 2, (height + 1) // 2), (width // 2, (height + 1) // 2)
        reduced = (
            cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p, size in zip(self.planes, sizes, strict=True)
        )
        return Thumbnail.of_planes(*reduced)

    def spread(self, other: Thumbnail, level: int) -> float:
        """Share of the values that differ by more than `level` of 255."""
        return float(np.count_nonzero(cv2.absdiff(self.values, other.values) > level)) / self.values.size

    def change(self, other: Thumbnail) -> float:
        """Mean difference, of 255."""
        return cv2.norm(self.values, other.values, cv2.NORM_L1) / self.values.size

    def greatest_change(self, other: Thumbnail) -> float:
        return cv2.norm(self.values, other.values, cv2.NORM_INF)

    def bend(self, before: Thumbnail, after: Thumbnail, share: float) -> float:
        """Mean difference, of 255, from a mixture of two others with `share` of the second."""
        mixture = cv2.addWeighted(before.values, 1 - share, after.values, share, 0.0)
        return cv2.norm(self.values, mixture.reshape(-1), cv2.NORM_L1) / self.values.size


class Recent:
    """The last `num_kept` thumbnails by frame number; beyond either end of the video its end is repeated."""

    def __init__(self, num_kept: int) -> None:
        self._kept: deque[Thumbnail] = deque(maxlen=num_kept)
        self.num_frames = 0

    def append(self, thumbnail: Thumbnail) -> None:
        self._kept.append(thumbnail)
        self.num_frames += 1

    def __getitem__(self, index: int) -> Thumbnail:
        """A frame that is kept, or the nearest one that is."""
        position = index - (self.num_frames - len(self._kept))
        return self._kept[min(max(position, 0), len(self._kept) - 1)]
