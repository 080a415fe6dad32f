"""Frames reduced until they are cheap to compare, and the last few hundred of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.stream import TINY_HEIGHT, TINY_WIDTH, StreamFrame, tiny_picture


@dataclass(frozen=True)
class Thumbnail:
    """A frame's planes, halved as often as TransNet's 48 x 27 pixels allow; `values` are all of them in a row."""

    values: np.ndarray
    shape: tuple[int, int]
    chroma_shape: tuple[int, int]

    @classmethod
    def of(cls, frame: StreamFrame) -> Thumbnail:
        luma, blue, red = frame.luma, frame.blue, frame.red
        while luma.shape[0] >= 2 * (TINY_HEIGHT + 1) and luma.shape[1] >= 2 * TINY_WIDTH:
            luma, blue, red = _halved(luma), _halved(blue), _halved(red)
        values = np.concatenate([luma.ravel(), blue.ravel(), red.ravel()])
        return cls(values, luma.shape, blue.shape)  # type: ignore[arg-type]

    def tiny(self) -> np.ndarray:
        """As TransNet takes a frame, (27, 48, 3) uint8 RGB."""
        num, part = int(np.prod(self.shape)), int(np.prod(self.chroma_shape))
        luma, blue, red = np.split(self.values, [num, num + part])
        return tiny_picture(luma.reshape(self.shape), blue.reshape(self.chroma_shape), red.reshape(self.chroma_shape))

    def spread(self, other: Thumbnail, level: int) -> float:
        """Share of the values that differ by more than `level` of 255."""
        return float(np.count_nonzero(cv2.absdiff(self.values, other.values) > level)) / self.values.size

    def change(self, other: Thumbnail) -> float:
        """Mean difference, of 255."""
        return cv2.norm(self.values, other.values, cv2.NORM_L1) / self.values.size

    def greatest_change(self, other: Thumbnail) -> float:
        return cv2.norm(self.values, other.values, cv2.NORM_INF)

    def bend(self, before: Thumbnail, after: Thumbnail) -> float:
        """Mean difference, of 255, from the mean of two others: none where one picture turns evenly into another."""
        middle = cv2.addWeighted(before.values, 0.5, after.values, 0.5, 0.0)
        return cv2.norm(self.values, middle.reshape(-1), cv2.NORM_L1) / self.values.size


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


def _halved(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    return cv2.resize(plane[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
