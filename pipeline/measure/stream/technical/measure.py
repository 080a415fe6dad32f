"""The technical measure: brightness, change and bytes of every frame; light, colour and detail of sampled frames."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.technical.blockiness import blockiness
from pipeline.measure.stream.technical.colourfulness import colourfulness
from pipeline.measure.stream.technical.flicker import flicker
from pipeline.measure.stream.technical.freezing import FROZEN_LEVELS, largest_change, longest_frozen_us, repeats
from pipeline.measure.stream.technical.interlacing import is_combed
from pipeline.measure.stream.technical.levels import clipped_frac, mean_brightness, rms_contrast
from pipeline.measure.stream.technical.noise import noise_sigma
from pipeline.measure.stream.technical.sharpness import laplacian_variance
from pipeline.measure.stream.technical.strips import cut_strips, picture_area, strip_places
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import Technical

DETAIL_EVERY = 2
"""Detail is read on every second sample: it takes ten times as long as light and colour."""
LIGHT = ("contrast", "colourfulness")
DETAIL = ("clipped_frac", "sharpness", "noise_sigma", "blockiness", "interlaced_frac")


class TechnicalMeasure:
    """Columns of `schemas.tables.measures.Technical`. Kept: 24 bytes a frame, 12 more a sample, 24 more with detail."""

    every_frame = True

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        self._stored_pixels = video.stored_pixels
        self._interval_us = round(MICROSECONDS / config.sample_hz)
        self._next_sample_us: int | None = None
        self._num_samples = 0
        self._frozen_luma: np.ndarray | None = None
        self._times_us = array("q")
        self._brightness, self._changes = array("f"), array("f")
        self._frozen_since, self._packet_bytes = array("i"), array("i")
        self._light = _Samples(LIGHT)
        self._detail = _Samples(DETAIL)

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        self._times_us.append(frame.time_us)
        self._packet_bytes.append(frame.packet_bytes)
        self._brightness.append(mean_brightness(frame.luma))
        self._note_change(frame, previous)
        if self._next_sample_us is not None and frame.time_us < self._next_sample_us:
            return
        self._next_sample_us = frame.time_us + self._interval_us
        index = len(self._times_us) - 1
        self._light.add(index, _light(frame))
        if self._num_samples % DETAIL_EVERY == 0:
            self._detail.add(index, _detail(frame, previous))
        self._num_samples += 1

    def _note_change(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        """The change since the frame before, and since when the picture has been the same."""
        change = np.inf if previous is None else largest_change(frame.luma, previous.luma)
        self._changes.append(change)
        index = len(self._changes) - 1
        if change < FROZEN_LEVELS and self._frozen_luma is not None:
            since = self._frozen_since[-1]
            if since == index - 1 or largest_change(frame.luma, self._frozen_luma) < FROZEN_LEVELS:
                self._frozen_since.append(since)
                return
        self._frozen_since.append(index)
        self._frozen_luma = frame.luma

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        frames = slice(span.first, span.last)
        num_frames = span.last - span.first
        brightness = np.array(self._brightness[frames], np.float64)
        changes = np.array(self._changes[frames], np.float64)[1:]
        since = np.array(self._frozen_since[frames]) - span.first
        packet_bytes = sum(self._packet_bytes[frames])
        moves = num_frames > 1
        scores = Technical(
            brightness=float(brightness.mean()),
            bits_per_pixel=8.0 * packet_bytes / (self._stored_pixels * num_frames) if packet_bytes else None,
            duplicate_frames_frac=float(repeats(changes).mean()) if moves else None,
            frozen_s=longest_frozen_us(np.array(self._times_us[frames]), since) / MICROSECONDS if moves else None,
            flicker=flicker(brightness),
            contrast=self._light.mean("contrast", span),
            colourfulness=self._light.mean("colourfulness", span),
            clipped_frac=self._detail.mean("clipped_frac", span),
            sharpness=self._detail.mean("sharpness", span),
            noise_sigma=self._detail.mean("noise_sigma", span),
            blockiness=self._detail.mean("blockiness", span),
            interlaced_frac=self._detail.mean("interlaced_frac", span),
        )
        return asdict(scores)


class _Samples:
    """Numbers of the sampled frames, in order, and their means over spans."""

    def __init__(self, names: Sequence[str]) -> None:
        self._indices = array("i")
        self._values = {name: array("f") for name in names}

    def add(self, index: int, values: dict[str, float | None]) -> None:
        self._indices.append(index)
        for name, value in values.items():
            self._values[name].append(np.nan if value is None else value)

    def mean(self, name: str, span: Span) -> float | None:
        """Over the frames of a span that have the value; None if none has."""
        first, last = np.searchsorted(self._indices, [span.first, span.last])
        values = np.array(self._values[name][first:last], np.float64)
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else None


def _light(frame: StreamFrame) -> dict[str, float | None]:
    top, bottom, left, right = picture_area(frame.luma)
    chroma_area = slice(top // 2, max(bottom // 2, top // 2 + 1)), slice(left // 2, max(right // 2, left // 2 + 1))
    return {
        "contrast": rms_contrast(frame.luma[top:bottom, left:right]),
        "colourfulness": colourfulness(frame.blue[chroma_area], frame.red[chroma_area]),
    }


def _detail(frame: StreamFrame, previous: StreamFrame | None) -> dict[str, float | None]:
    places = strip_places(frame)
    strips = cut_strips(frame, places)
    sigma = noise_sigma(strips)
    num_pixels = sum(strip.size for strip in strips)
    before = None if previous is None else cut_strips(previous, places)
    clipped = sum(clipped_frac(strip) * strip.size for strip in strips)
    return {
        "clipped_frac": clipped / num_pixels,
        "sharpness": laplacian_variance(strips, sigma or 0.0),
        "noise_sigma": sigma,
        "blockiness": blockiness(strips),
        "interlaced_frac": float(is_combed(strips, before)),
    }
