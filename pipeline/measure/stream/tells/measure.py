"""The tells of a clip (signs that it is not footage), from sampled frames."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from typing import Any

import numpy as np

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.technical.strips import cut_strips, strip_places
from pipeline.measure.stream.tells.black import is_black
from pipeline.measure.stream.tells.colour_bars import shows_colour_bars
from pipeline.measure.stream.tells.countdown import shows_countdown
from pipeline.measure.stream.tells.screen_recording import ScreenSigns, screen_score, screen_signs
from pipeline.measure.stream.tells.shot_rate import shots_per_s
from pipeline.measure.stream.tells.slideshow import Slides
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import Tells

EXPENSIVE_EVERY = 3
"""The expensive signs, drift and those of a screen, are read on every third sample."""
EVERY_STRIP = 2
"""The signs of a screen are read on every second strip."""
NUM_SIGNS = len(fields(ScreenSigns))


class TellsMeasure:
    """Columns of `schemas.tables.measures.Tells`; keeps 12 bytes a sample, and 48 more of every third."""

    every_frame = False

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        self._samples = array("i")
        self._black, self._bars, self._countdown = array("b"), array("b"), array("b")
        self._screen_samples, self._signs = array("i"), array("f")
        self._slides = Slides()
        self._last_luma: np.ndarray | None = None

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        expensive = len(self._samples) % EXPENSIVE_EVERY == 0
        self._samples.append(frame.index)
        self._black.append(is_black(frame.luma))
        self._bars.append(shows_colour_bars(frame.blue, frame.red))
        self._countdown.append(shows_countdown(frame.luma, frame.blue, frame.red, self._last_luma))
        self._slides.push(frame.index, frame.luma, at_drift=expensive)
        self._last_luma = frame.luma
        if expensive and previous is not None:
            places = strip_places(frame)[::EVERY_STRIP]
            signs = screen_signs(cut_strips(frame, places), cut_strips(previous, places))
            if signs is not None:
                self._screen_samples.append(frame.index)
                self._signs.extend(astuple(signs))

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        first, last = np.searchsorted(self._samples, [span.first, span.last])
        tells = Tells(
            shots_per_s=shots_per_s(span, spans),
            black_frac=_mean(self._black[first:last]),
            colour_bars_frac=_mean(self._bars[first:last]),
            countdown_frac=_mean(self._countdown[first:last]),
            slideshow=self._slides.share(span, spans, self._samples),
            screen_recording=self._screen_recording(span),
        )
        return asdict(tells)

    def _screen_recording(self, span: Span) -> float | None:
        """By the mean signs of the samples whose previous frame is in the clip too."""
        first, last = np.searchsorted(self._screen_samples, [span.first + 1, span.last])
        if first == last:
            return None
        signs = np.array(self._signs[NUM_SIGNS * first : NUM_SIGNS * last], np.float64).reshape(-1, NUM_SIGNS)
        return screen_score(ScreenSigns(*signs.mean(axis=0).tolist()))


def _mean(flags: Sequence[int]) -> float | None:
    return float(np.mean(flags)) if len(flags) else None
