"""Clip measures over the clips that the rules have left in: read frames, measure, write. Callables for batches; no Ray.

Frames are read once for all measures that want the same ones. A measure with frames of its own runs where they are
read, for they are large; the others are shown a few reduced frames, which travel to where their models are. A failure
travels in the row, so that every clip that goes in comes out with the scores that it needs or the reason why it has
none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.decode.clip_frames import SampledClip, frames_of, sample_isolated
from pipeline.decode.reader import fit_to_budget
from pipeline.measure import registry
from pipeline.measure.kinds import Clip, ClipMeasure, Sampling, spread
from pipeline.store.dataset import Dataset
from pipeline.store.run_statistics import Reporter, timed
from schemas import EMBEDDINGS, MEASURES
from schemas.recipe import Recipe
from schemas.tables.measures import columns_of

Scores = dict[str, Any]


class ClipReader:
    """Reads a clip's frames, takes the measures that have frames of their own, and passes reduced ones on."""

    def __init__(self, recipe: Recipe, report: Reporter) -> None:
        self._recipe, self._report = recipe, report
        self._measures: dict[str, ClipMeasure] = {}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        clip = json.loads(row["clip"])
        own = {
            kind.name: kind.sampling(clip, self._recipe)
            for kind in registry.CLIP_KINDS
            if kind.sampling is not None and kind.name in clip["needs"]
        }
        first, *others = list(dict.fromkeys(own.values())) or [spread(clip, self._recipe)]
        sampled = self._read(clip, first)
        shared, failure = self._reduced(sampled, first), sampled.failure
        scores = self._scores(own, first, sampled)
        for sampling in others:
            sampled = self._read(clip, sampling)
            scores |= self._scores(own, sampling, sampled)
            failure = failure or sampled.failure
        return {
            "clip": row["clip"],
            "frames": shared.frames.tobytes(),
            "shape": list(shared.frames.shape),
            "times_s": [float(t) for t in shared.times_s],
            "failure": failure or "",
            "scores": json.dumps(scores),
        }

    def _read(self, clip: Clip, sampling: Sampling) -> SampledClip:
        with timed(self._report, "frames") as work:
            sampled = sample_isolated(self._recipe.limits, clip, list(sampling.times_us), sampling.max_pixels_px)
            work.rows, work.num_bytes = 1, sampled.frames.nbytes
        return sampled

    def _scores(self, own: Mapping[str, Sampling], sampling: Sampling, sampled: SampledClip) -> dict[str, Scores]:
        """What the measures say that wanted these frames."""
        if sampled.failure is not None:
            return {}
        return {name: self._measured(name, sampled) for name, wanted in own.items() if wanted == sampling}

    def _measured(self, name: str, sampled: SampledClip) -> Scores:
        if name not in self._measures:
            self._measures[name] = next(k for k in registry.CLIP_KINDS if k.name == name).make(self._recipe)
        with timed(self._report, name.replace("_", " ")) as work:
            work.rows = 1
            return self._measures[name].measure(sampled.frames, sampled.times_s)

    def _reduced(self, sampled: SampledClip, sampling: Sampling) -> SampledClip:
        """The frames for the measures that have none of their own, within the recipe's pixel budget."""
        frames = sampled.frames[:: sampling.shared_every]
        height, width = frames.shape[1:3]
        size = fit_to_budget(width, height, self._recipe.frames.max_pixels_px)
        if len(frames) and size != (width, height):
            frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
        return SampledClip(frames, sampled.times_s[:: sampling.shared_every], sampled.failure)


class ClipModels:
    """Loads the measures that have no frames of their own, and adds their scores."""

    def __init__(self, recipe: Recipe, report: Reporter) -> None:
        self._report = report
        kinds = [k for k in registry.CLIP_KINDS if k.sampling is None and k.name in recipe.clip_measures]
        self._measures = {kind.name: kind.make(recipe) for kind in kinds}

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self._report, "clip measures") as work:
            clips = [json.loads(text) for text in batch["clip"].to_pylist()]
            scores = [json.loads(text) for text in batch["scores"].to_pylist()]
            frames, times_s = frames_of(batch), batch["times_s"].to_pylist()
            vectors: list[list[float] | None] = [None] * len(clips)
            readable = [i for i, failure in enumerate(batch["failure"].to_pylist()) if not failure]
            for name, measure in self._measures.items():
                for i in readable:
                    if name in clips[i]["needs"]:
                        scores[i][name] = measure.measure(frames[i], times_s[i])
                        vectors[i] = scores[i][name].pop("embedding", vectors[i])
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

    def _measured(self, clip: Clip, name: str, scores: Scores | None, failure: str, now_us: int) -> dict[str, Any]:
        columns = dict.fromkeys(columns_of(name)) | (scores or {})
        why = None if scores is not None else failure or "no score"
        key = {"clip_id": clip["clip_id"], "measure": self.fingerprints[name], "measured_us": now_us, "failure": why}
        return key | columns
