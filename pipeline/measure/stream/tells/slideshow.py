"""Slideshows: pictures that stand still, or move as a whole at an even pace, one after the other.

A picture that does not change is a slide by itself. One that is panned or zoomed over (the Ken Burns effect) cannot be
told from a shot of a still scene by a camera on rails. So it counts only where most of the clips around it, of several
shots, are slides as well.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.frame import Span
from pipeline.measure.stream.technical.freezing import FROZEN_LEVELS, largest_change
from pipeline.measure.stream.tells.drift import drift_between

MAX_LEFT_OVER = 12.0
"""Difference of luma, of 255, that a drift may leave between two samples a fifth of a second apart. Nine in ten of
stills that were panned or zoomed over, at x264's CRF 20 and 32, left up to 10 (to 45 at a seventh of the width a
second); a pan by hand left 9 to 19, people 7 to 105, but a slow shot of a dark room 3 to 8: so an even pace and the
clips around must agree as well."""
LEAST_STEP_PX, EVEN_PACE_FRAC, EVEN_PACE_PX = 0.1, 0.3, 0.15
"""A drift moves at least this far between two samples, and as far to the next, within this share and these pixels."""
AROUND_S = 30.0
SLIDES_FRAC, LEAST_SHOTS = 0.7, 3
"""A drift counts where this share of the time within AROUND_S, in at least this many shots, is slides."""


class Slides:
    """Keeps of each sample whether the picture stood still, and of some how it drifted: 5 to 25 bytes."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._indices, self._still = array("i"), array("b")
        self._drift_indices, self._drifts = array("i"), array("f")

    def push(self, index: int, luma: np.ndarray, *, at_drift: bool) -> None:
        """Compare the (h, w) uint8 luma of frame `index` with the sample before; see how it drifted if asked."""
        last, self._last = self._last, luma
        if last is None:
            return
        still = largest_change(luma, last) < FROZEN_LEVELS
        self._indices.append(index)
        self._still.append(still)
        if at_drift and not still:
            drift = drift_between(last, luma)
            self._drift_indices.append(index)
            self._drifts.extend((drift.left_over, *drift.motion))

    def share(self, span: Span, spans: Sequence[Span], samples: Sequence[int]) -> float | None:
        """Share of a clip's samples that show a slide; None if fewer than two are in it.

        Args:
            spans: all clips of the video.
            samples: frame numbers of all samples; the first one of a clip is left out, for it was compared with
                another clip's.
        """
        own = self._own_share(span, samples)
        if own is None:
            return None
        still, slides = own
        return slides if slides == still or self._among_slides(span, spans, samples) else still

    def _own_share(self, span: Span, samples: Sequence[int]) -> tuple[float, float] | None:
        """Shares of a clip's samples that stand still, and that stand still or drift."""
        inside = np.searchsorted(samples, [span.first, span.last])
        if inside[1] - inside[0] < 2:
            return None
        first = samples[inside[0] + 1]
        low, high = np.searchsorted(self._indices, [first, span.last])
        still = float(np.mean(self._still[low:high]))
        low, high = np.searchsorted(self._drift_indices, [first, span.last])
        drifts = np.array(self._drifts[5 * low : 5 * high], np.float64).reshape(-1, 5)
        return still, still + (1.0 - still) * _even_drift_frac(drifts)

    def _among_slides(self, span: Span, spans: Sequence[Span], samples: Sequence[int]) -> bool:
        reach = AROUND_S * MICROSECONDS
        near = [s for s in spans if s.start_us < span.end_us + reach and s.end_us > span.start_us - reach]
        if len({other.shot_index for other in near}) < LEAST_SHOTS:
            return False
        shares = [(own[1], s.end_us - s.start_us) for s in near if (own := self._own_share(s, samples)) is not None]
        total = sum(duration for _, duration in shares)
        return total > 0 and sum(share * duration for share, duration in shares) >= SLIDES_FRAC * total


def _even_drift_frac(drifts: np.ndarray) -> float:
    """Share of a clip's drifts (n, 5), difference and motion, that leave little and keep a neighbour's pace."""
    if len(drifts) < 2:
        return 0.0
    motion = drifts[:, 1:]
    pace = np.hypot(np.linalg.norm(motion[:, :2], axis=1), np.linalg.norm(motion[:, 2:], axis=1))
    jerk = np.linalg.norm(np.diff(motion, axis=0), axis=1)
    even = jerk <= EVEN_PACE_FRAC * np.minimum(pace[1:], pace[:-1]) + EVEN_PACE_PX
    goes_on = np.append(even, False) | np.insert(even, 0, False)
    return float(((drifts[:, 0] <= MAX_LEFT_OVER) & (pace >= LEAST_STEP_PX) & goes_on).mean())
