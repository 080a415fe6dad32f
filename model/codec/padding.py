"""Padding of a clip to the sizes that a codec encodes, and its removal: the sides and the end are repeated.

Repeated edges are nearer to footage than black ones, and nothing is stretched. Neither torch nor a codec is needed.
"""

from __future__ import annotations

import numpy as np

from model.codec.spec import CodecPlan


def padded(frames_THWC: np.ndarray, plan: CodecPlan) -> np.ndarray:
    """A clip of a plan's valid size, with its last frame, row and column repeated up to the encoded size.

    Raises:
        ValueError: the clip has another size.
    """
    _require(frames_THWC, plan.valid, "valid")
    if plan.encoded == plan.valid:
        return frames_THWC
    frames, width, height = (encoded - valid for encoded, valid in zip(plan.encoded, plan.valid, strict=True))
    return np.pad(frames_THWC, ((0, frames), (0, height), (0, width), (0, 0)), mode="edge")


def cropped(frames_THWC: np.ndarray, plan: CodecPlan) -> np.ndarray:
    """The valid part of a clip of a plan's encoded size.

    Raises:
        ValueError: the clip has another size.
    """
    _require(frames_THWC, plan.encoded, "encoded")
    frames, width, height = plan.valid
    return frames_THWC[:frames, :height, :width]


def _require(frames_THWC: np.ndarray, size: tuple[int, int, int], of: str) -> None:
    frames, height, width = frames_THWC.shape[:3]
    if (frames, width, height) != size:
        raise ValueError(f"{frames} frames of {width} x {height} are not the plan's {of} size, {size}")
