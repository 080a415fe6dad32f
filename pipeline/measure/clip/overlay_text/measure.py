"""Overlaid text, scene text and static logos of a clip, from a few frames of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.decode.clip_frames import Clip, Sampling, sample_times_us, spread
from pipeline.measure.clip.overlay_text.kinds import is_card, is_legible, is_overlay, is_plausible, is_writing, kind_of
from pipeline.measure.clip.overlay_text.logo import logo_boxes
from pipeline.measure.clip.overlay_text.reading import Reading, TextBox, TextReader
from pipeline.measure.clip.overlay_text.running import Ticker, find_tickers
from pipeline.measure.clip.overlay_text.standing import EdgeStack
from pipeline.measure.clip.overlay_text.tracks import follow, stands_throughout
from schemas.recipe import Recipe
from schemas.recipe.overlay_text import OverlayTextConfig

SAME_PICTURE = 2.0
"""A frame is not searched if no cell's mean luma (0-255) differs by more than this from the last searched one: letters
that appear or go change it by ten and more."""
MAX_READ = 12
"""At most this many lines of a clip are read, the largest first."""
UNREAD = Reading("", 0.0)

Found = dict[int, list[TextBox]]
"""Boxes by index of the frame they were found in."""


@dataclass(frozen=True)
class Writing:
    """One piece of writing: its boxes in each frame that shows it, its kind, and what it says."""

    kind: str
    boxes: dict[int, list[TextBox]]
    reading: Reading

    @property
    def area_px(self) -> int:
        return max(sum(box.area_px for box in boxes) for boxes in self.boxes.values())


def sampling(clip: Clip, recipe: Recipe) -> Sampling:
    """The frames to read of a clip: pairs; the one frame of an image."""
    config = recipe.overlay_text
    if clip["is_image"]:
        return spread(clip, 1, config.max_pixels_px)
    return Sampling.within(clip, pair_times_us(clip["start_us"], clip["end_us"], config), config.max_pixels_px)


def pair_times_us(start_us: int, end_us: int, config: OverlayTextConfig) -> list[int]:
    """Times spread over a span, each followed shortly by a companion within its part of the span."""
    gap_us = min(config.companion_gap_s * 1e6, (end_us - start_us) / config.num_moments / 2)
    moments = sample_times_us(start_us, end_us, config.num_moments)
    return [round(time_us) for moment in moments for time_us in (moment, moment + gap_us)]


class OverlayTextMeasure:
    """Loads the OCR models once; then frames in, columns of `schemas.tables.measures.OverlayText` out."""

    def __init__(self, config: OverlayTextConfig | None = None) -> None:
        self.config = config or OverlayTextConfig()
        self._reader = TextReader()

    def measure(self, frames: np.ndarray, times_s: list[float]) -> dict[str, Any]:
        """The text laid over a clip, the text in its scene, and static logos.

        Every second frame is searched for text, and all show what moves; three or fewer are all searched.

        Args:
            frames: (T, H, W, 3) uint8 RGB inside the content box, T >= 1, in the order of time.
            times_s: when each is shown, from the clip's start.
        Raises:
            ValueError: frames of another shape, or not one time a frame.
        """
        if frames.ndim != 4 or not len(frames) or frames.shape[3] != 3 or len(frames) != len(times_s):
            raise ValueError(f"frames must be (T, H, W, 3) with one time each, not {frames.shape} and {len(times_s)}")
        edges = EdgeStack(frames)
        found = self._search(frames, edges)
        tickers = find_tickers(found, edges, times_s)
        found = self._with_standing(found, frames, edges)
        found = {i: [b for b in boxes if not any(t.holds(b) for t in tickers)] for i, boxes in found.items()}
        writing = [*self._tickers(tickers, frames), *self._tracks(found, frames, edges)]
        overlays = [w for w in writing if w.kind != "scene text"]
        area_by_kind: dict[str, int] = {}
        for overlay in overlays:
            area_by_kind[overlay.kind] = area_by_kind.get(overlay.kind, 0) + overlay.area_px
        size_px = frames.shape[1] * frames.shape[2]
        boxes = [box for w in writing for boxes in w.boxes.values() for box in boxes]
        return {
            "overlay_text_frac": _largest_share(overlays, frames.shape[:3]),
            "overlay_kind": max(area_by_kind, key=lambda kind: area_by_kind[kind], default="none"),
            "overlay_texts": list(dict.fromkeys(o.reading.text for o in overlays if is_legible(o.reading))),
            "scene_text_frac": _largest_share([w for w in writing if w.kind == "scene text"], frames.shape[:3]),
            "logo_frac": sum(w * h for _, _, w, h in logo_boxes(edges, boxes)) / size_px,
        }

    def _search(self, frames: np.ndarray, edges: EdgeStack) -> Found:
        """Plausible boxes by frame, of the frames that are searched; an unchanged picture keeps its boxes."""
        found: Found = {}
        before = None
        for index in range(0, len(frames), 2 if len(frames) > 3 else 1):
            if before is None or np.abs(edges.cell_luma[index] - edges.cell_luma[before]).max() > SAME_PICTURE:
                boxes = [box for box in self._reader.find(frames[index]) if is_plausible(box, frames.shape[1])]
            else:
                boxes = found[before]
            found[index] = boxes
            before = index
        return found

    def _with_standing(self, found: Found, frames: np.ndarray, edges: EdgeStack) -> Found:
        """Add the boxes of the mean picture to each frame: text that keeps its place is clear in it, what moves is
        blurred."""
        if len({id(boxes) for boxes in found.values()}) < 2:
            return found
        mean = (frames.sum(axis=0, dtype=np.uint32) // len(frames)).astype(np.uint8)
        clear = [b for b in self._reader.find(mean) if is_plausible(b, frames.shape[1]) and stands_throughout(b, edges)]
        return {index: [*clear, *boxes] for index, boxes in found.items()}

    def _tickers(self, tickers: Sequence[Ticker], frames: np.ndarray) -> list[Writing]:
        longest = [
            max(((b.width, i, b) for i, row in t.boxes.items() for b in row), key=lambda c: c[:2]) for t in tickers
        ]
        readings = self._reader.read([_crop(frames[i], box) for _, i, box in longest])
        bands = [TextBox(0, t.y0, frames.shape[2], t.y1, 1.0) for t in tickers]
        shown = range(len(frames))
        return [Writing("ticker", {i: [b] for i in shown}, r) for b, r in zip(bands, readings, strict=True)]

    def _tracks(self, found: Found, frames: np.ndarray, edges: EdgeStack) -> list[Writing]:
        height, width = frames.shape[1:3]
        tracks = sorted(follow(found, edges), key=lambda t: (not t.stands, -t.box.area_px))
        read = self._reader.read([_crop(frames[t.seen[0]], t.box) for t in tracks[:MAX_READ]])
        readings = read + [UNREAD] * (len(tracks) - len(read))
        card = is_card([t.box for t in tracks], edges)
        writing = []
        for track, reading in zip(tracks, readings, strict=True):
            if not is_writing(track, reading, tuple(found), card, width, height):
                continue
            over = is_overlay(track, card, width, height)
            kind = kind_of(track, card, width, height) if over else "scene text"
            writing.append(Writing(kind, {frame: [track.box] for frame in track.frames}, reading))
        return writing


def _crop(frame: np.ndarray, box: TextBox) -> np.ndarray:
    crop = frame[box.y0 : box.y1, box.x0 : box.x1]
    return np.rot90(crop) if box.height > 1.5 * box.width else crop


def _largest_share(writing: Sequence[Writing], shape: tuple[int, ...]) -> float:
    """Largest share of the picture under any of the writing in a frame."""
    num_frames, height, width = shape
    largest = 0.0
    for frame in range(num_frames):
        boxes = {box for w in writing for box in w.boxes.get(frame, ())}
        if boxes:
            covered = np.zeros((height, width), bool)
            for box in boxes:
                covered[box.y0 : box.y1, box.x0 : box.x1] = True
            largest = max(largest, float(covered.mean()))
    return largest
