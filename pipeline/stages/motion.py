"""Motion: speed of the dense optical flow (DIS, Kroeger et al. 2016)."""

from __future__ import annotations

import cv2
import numpy as np


class FlowSpeed:
    """Mean optical-flow speed between the frames pushed last, in pixels per second at 256 px for the longer side."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._previous: tuple[np.ndarray, int] | None = None

    def push(self, luma: np.ndarray, time_us: int) -> float | None:
        """Speed from the previous frame to this one; None for the first.

        Args:
            luma: (h, w) uint8, at least 12 px on each side, else None is returned.
        """
        luma = np.ascontiguousarray(luma)
        previous, self._previous = self._previous, (luma, time_us)
        if previous is None or min(luma.shape) < MIN_SIDE_PX:
            return None
        flow = self._flow.calc(previous[0], luma, None)  # pyright: ignore[reportCallIssue, reportArgumentType]
        # NumPy's own root: the last bit of cv2.magnitude depends on where an array lies in memory.
        pixels = float(np.sqrt((flow * flow).sum(axis=-1)).mean(dtype=np.float64)) * UNIT_SIDE_PX / max(luma.shape)
        return pixels / ((time_us - previous[1]) * 1e-6)


UNIT_SIDE_PX = 256
"""The longer side of the frame that speeds are given for, so that they do not depend on the video's size."""


MIN_SIDE_PX = 12
"""DIS matches 8x8 patches; below this there is nothing to match."""
