"""Flicker: brightness that comes and goes within a few frames, as under lamps out of step with the shutter.

A frame flickers by how far it is above, or below, both a frame shortly before it and a frame shortly after it. A frame
of a fade is between its neighbours, and a cut or a lasting change differs from one side only: neither counts.
"""

from __future__ import annotations

import numpy as np

REACH = 3
"""Frames before and after. Covers periods of two to six frames, as of 50 or 60 Hz mains at 24 to 30 frames/s."""


def flicker(brightness: np.ndarray) -> float | None:
    """Mean over frames of that swing, of (n,) brightness in [0, 1]; None for fewer than three frames."""
    if len(brightness) < 3:
        return None
    padded = np.pad(brightness, REACH, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, REACH)
    before, after = windows[: len(brightness)], windows[REACH + 1 :]
    above = brightness - np.maximum(before.min(axis=1), after.min(axis=1))
    below = np.minimum(before.max(axis=1), after.max(axis=1)) - brightness
    return float(np.maximum(np.maximum(above, below), 0.0).mean())
