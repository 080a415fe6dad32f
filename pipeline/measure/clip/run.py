"""The looking half of curation: frames of clips that cheap measures left in, overlay text, embedding, heads, tables.

Callables for batches; no Ray here. Models are imported where they are loaded, in the actors. A failure travels in the
row, so every clip that goes in comes out with the scores that it needs or the reason why it has none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from model.builtin import clip_folder
from pipeline.decode.clip_frames import SampledClip, frames_of, sample_isolated, spread_times_us
from pipeline.decode.reader import fit_to_budget
from pipeline.measure.clip.overlay_text import measure as overlay_text
from pipeline.store.dataset import Dataset
from pipeline.store.run_statistics import Reporter, timed
from schemas import EMBEDDINGS, MEASURES
from schemas.identity import digest, file_digest, folder_digest
from schemas.recipe import Recipe
from schemas.tables.measures import CLIP_MEASURES

Scores = dict[str, Any]

VERSIONS = {"overlay_text": 1, "embedding": 1, "aesthetic": 1, "safety": 1}
"""Raised when a clip measure's code gives other results; here and nowhere else, so that asking loads no model."""


def clip_measure_fingerprints(recipe: Recipe) -> dict[str, str]:
    """The fingerprint of each clip measure that is on: its code's version, its settings, and weights that lie here."""
    frames, weights = asdict(recipe.frames), _weights
    settings: dict[str, Callable[[], tuple]] = {
        "overlay_text": lambda: (asdict(recipe.overlay_text),),
        "embedding": lambda: (weights(recipe.embedding.model), frames),
        "aesthetic": lambda: (file_digest(recipe.aesthetic.head), weights(recipe.aesthetic.model), frames),
        "safety": lambda: (weights(recipe.safety.model), list(recipe.safety.unsafe_labels), frames),
    }
    return {name: digest(name, VERSIONS[name], *settings[name]()) for name in recipe.clip_measures}


def _weights(model: str) -> str:
    """A digest of a folder's files, or the name that a hub knows."""
    folder = clip_folder(model)
    return folder_digest(folder) if folder is not None else model


class Reading:
    """Reads a clip's frames once, reads what is written in them, and passes on what the small models look at."""

    def __init__(self, recipe: Recipe, report: Reporter) -> None:
        self._recipe, self._report = recipe, report
        self._overlay_text = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        clip = json.loads(row["clip"])
        reads_text = "overlay_text" in clip["needs"]
        settings = self._recipe.overlay_text if reads_text else self._recipe.frames
        times_us, small_every = self._times(clip, reads_text)
        with timed(self._report, "frames") as work:
            sampled = sample_isolated(self._recipe.limits, clip, times_us, settings.max_pixels_px)
            work.rows, work.num_bytes = 1, sampled.frames.nbytes
        scores: dict[str, Scores] = {}
        if reads_text and sampled.failure is None:
            with timed(self._report, "overlay text") as work:
                scores["overlay_text"] = self._read_text(sampled)
                work.rows = 1
        small = _reduced(sampled.frames[::small_every], self._recipe.frames.max_pixels_px)
        return {
            "clip": row["clip"],
            "frames": small.tobytes(),
            "shape": list(small.shape),
            "times_s": [float(t) for t in sampled.times_s[::small_every]],
            "failure": sampled.failure or "",
            "scores": json.dumps(scores),
        }

    def _times(self, clip: Mapping[str, Any], reads_text: bool) -> tuple[list[int], int]:
        """When to look at a clip, and that every so manieth frame is for the other models.

        Frames are read once. The search for text wants each followed by a companion; the others do without those.
        """
        if not reads_text or clip["is_image"]:
            return spread_times_us(clip, self._recipe.frames.num_frames), 1
        return overlay_text.sample_times_us(clip["start_us"], clip["end_us"], self._recipe.overlay_text), 2

    def _read_text(self, sampled: SampledClip) -> Scores:
        if self._overlay_text is None:
            self._overlay_text = overlay_text.OverlayTextMeasure(self._recipe.overlay_text)
        return self._overlay_text.measure(sampled.frames, sampled.times_s)


def _reduced(frames: np.ndarray, max_pixels_px: int) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 within a pixel budget."""
    height, width = frames.shape[1:3]
    size = fit_to_budget(width, height, max_pixels_px)
    if size == (width, height) or not len(frames):
        return frames
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


class ClipModels:
    """Loads the embedding model and the heads that the recipe names; adds their scores."""

    def __init__(self, recipe: Recipe, report: Reporter) -> None:
        self._report = report
        self._embedder, self._heads = None, {}
        if "embedding" in recipe.clip_measures:
            from pipeline.measure.clip.embedding import ClipEmbedder

            self._embedder = ClipEmbedder(recipe.embedding)
        if "aesthetic" in recipe.clip_measures:
            from pipeline.measure.clip.aesthetic import AestheticMeasure

            self._heads["aesthetic"] = AestheticMeasure(recipe.aesthetic)
        if "safety" in recipe.clip_measures:
            from pipeline.measure.clip.safety import SafetyMeasure

            self._heads["safety"] = SafetyMeasure(recipe.safety)

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self._report, "clip measures") as work:
            clips = [json.loads(text) for text in batch["clip"].to_pylist()]
            scores = [json.loads(text) for text in batch["scores"].to_pylist()]
            frames, times_s = frames_of(batch), batch["times_s"].to_pylist()
            vectors: list[list[float] | None] = [None] * len(clips)
            readable = [i for i, failure in enumerate(batch["failure"].to_pylist()) if not failure]
            embedded = [i for i in readable if self._embedder is not None and "embedding" in clips[i]["needs"]]
            if self._embedder is not None:
                for i, vector in zip(embedded, self._embedder.embed_frames([frames[i] for i in embedded]), strict=True):
                    vectors[i] = vector.tolist()
                    scores[i]["embedding"] = {"encoder": self._embedder.fingerprint}
            for name, head in self._heads.items():
                for i in readable:
                    if name in clips[i]["needs"]:
                        scores[i][name] = head.measure(frames[i], times_s[i])
            work.rows = len(clips)
        return (
            batch.select(["clip", "failure"])
            .append_column("scores", pa.array([json.dumps(found) for found in scores], pa.string()))
            .append_column("embedding", pa.array(vectors, pa.list_(pa.float32())))
        )


@dataclass(frozen=True)
class ClipMeasureWriter:
    """Writes `embeddings`, then the row of every measure that a clip needed."""

    dataset: Dataset
    fingerprints: Mapping[str, str]
    present: frozenset[tuple]
    """Keys of embeddings that are there already."""
    report: Reporter

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self.report, "write") as work:
            rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self.fingerprints}
            points = []
            now_us = time.time_ns() // 1000
            for row in batch.to_pylist():
                clip, scores = json.loads(row["clip"]), json.loads(row["scores"])
                for name in clip["needs"]:
                    rows[name].append(self._measured(clip, name, scores.get(name), row["failure"], now_us))
                if row["embedding"] is not None:
                    point = {"clip_id": clip["clip_id"], **scores["embedding"], "embedding": row["embedding"]}
                    if EMBEDDINGS.key_of(point) not in self.present:
                        points.append(point)
            self.dataset.write_part(EMBEDDINGS, points)
            for name, measured in rows.items():
                self.dataset.write_part(MEASURES[name], measured)
            work.rows = batch.num_rows
            work.count("clips measured", batch.num_rows)
        return batch.select(["clip"])

    def _measured(
        self, clip: Mapping[str, Any], name: str, scores: Scores | None, failure: str, now_us: int
    ) -> dict[str, Any]:
        columns = dict.fromkeys(CLIP_MEASURES[name].__dataclass_fields__) | (scores or {})
        why = None if scores is not None else failure or "no score"
        key = {"clip_id": clip["clip_id"], "measure": self.fingerprints[name], "measured_us": now_us, "failure": why}
        return key | columns
