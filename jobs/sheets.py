"""Sheets of pictures: frames of clips, with words under them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from torch import Tensor, linspace

NUM_FRAMES = 3
"""Of each clip: the first, the middle and the last one."""
GAP_PX = 6
LABEL_PX = 14
CHARACTER_PX = 6
"""Width of a character of a label, about."""


def row(video_BCTHW: Tensor) -> np.ndarray:
    """Frames of one video, (1, 3, T, H, W) in [-1, 1], side by side as (H, 3 W, 3) uint8."""
    places = linspace(0, video_BCTHW.shape[2] - 1, NUM_FRAMES).round().long()
    levels = ((video_BCTHW[0, :, places].clamp(-1, 1) + 1) * 127.5).round().byte()
    return levels.permute(2, 1, 3, 0).flatten(1, 2).numpy()


def sheet(clips: Iterable[Sequence[np.ndarray]], columns: int) -> np.ndarray:
    """Clips in columns, each of rows of pictures, on white; (H, W, 3) uint8."""
    blocks = [np.concatenate([_padded(row, GAP_PX // 3) for row in rows]) for rows in clips]
    lines = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    joined = [np.concatenate([_bottom_padded(block, line) for block in line], axis=1) for line in lines]
    width = max(line.shape[1] for line in joined)
    return np.concatenate([np.pad(x, ((0, 0), (0, width - x.shape[1]), (0, 0)), constant_values=255) for x in joined])


def labels(text: str, width: int) -> list[np.ndarray]:
    """A text in as many lines of words as it needs, each (LABEL_PX, width, 3) uint8, on white."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and CHARACTER_PX * len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_label(line, width) for line in lines]


def _label(text: str, width: int) -> np.ndarray:
    picture = np.full((LABEL_PX, width, 3), 255, np.uint8)
    return cv2.putText(picture, text, (1, LABEL_PX - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)


def _padded(picture: np.ndarray, below_px: int) -> np.ndarray:
    return np.pad(picture, ((0, below_px), (0, GAP_PX), (0, 0)), constant_values=255)


def _bottom_padded(block: np.ndarray, line: Sequence[np.ndarray]) -> np.ndarray:
    height = max(one.shape[0] for one in line) + GAP_PX
    return np.pad(block, ((0, height - len(block)), (0, 0), (0, 0)), constant_values=255)
