"""The learning rate of a fit, as a function of the share of its time that has passed."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up over `warm_up_frac` of the fit's time, and a half cosine down to `final_rate_frac` of the peak."""

    peak_rate: float = 2e-3
    final_rate_frac: float = 0.02
    warm_up_frac: float = 0.01

    def learning_rate(self, done_frac: float) -> float:
        """The learning rate after a share of the time, 0 to 1."""
        rise = min(done_frac / self.warm_up_frac, 1.0)
        fall = 0.5 * (1 + math.cos(math.pi * min(done_frac, 1.0)))
        return self.peak_rate * rise * (self.final_rate_frac + (1 - self.final_rate_frac) * fall)
