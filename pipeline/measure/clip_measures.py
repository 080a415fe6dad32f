"""Clip measures over the clips that the rules have left in: read frames, measure, write. Callables for batches; no Ray.

Frames are read once for all measures that want the same ones. A measure with frames of its own runs where they are
read, for they are large; the others are shown a few reduced frames, which travel to where their models are. A failure
travels in the row, so that every clip that goes in comes out with the scores that it needs or the reason why it has
none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.decode.clip_frames import Clip, SampledClip, Sampling, VideoClips, frames_of, row_of, sample_video
from pipeline.measure import registry
from pipeline.measure.kinds import ClipMeasure, shared_sampling
from pipeline.store.dataset import Dataset
from pipeline.store.retrying import NOT_FAILED, failure_columns
from pipeline.store.run_statistics import Reporter, timed, timed_items
from schemas import EMBEDDINGS, MEASURES
from schemas.recipe import Recipe
from schemas.tables.measures import columns_of

Scores = dict[str, Any]


class ClipReader:
    """Reads the frames of a video's clips, takes the measures that have frames of their own, and passes the shared ones
    on."""

    def __init__(self, recipe: Recipe, report: Reporter) -> None:
        self._recipe, self._report = recipe, report
        self._measures: dict[str, ClipMeasure] = {}

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """From the clips of one video, each with what it needs, to a row for each."""
        video = VideoClips.of(json.loads(row["clips"]), self._samplings)
        read = timed_items(self._report, "frames", sample_video(self._recipe.limits, video))
        for number, sampled in read:
            clip = video.clips[number]
            own = self._own(clip)
            scores = {
                name: self._measured(name, seen)
                for name, seen in zip(own, sampled, strict=False)
                if seen.failure is None
            }
            shared = sampled[len(own)] if len(sampled) > len(own) else SampledClip(NO_FRAMES, [], sampled[0].failure)
            yield row_of(clip, shared) | {"scores": json.dumps(scores)}

    def _own(self, clip: Clip) -> list[str]:
        """The measures that a clip needs and that have frames of their own."""
        return [kind.name for kind in registry.CLIP_KINDS if kind.sampling is not None and kind.name in clip["needs"]]

    def _samplings(self, clip: Clip) -> list[Sampling]:
        kinds = [kind for kind in registry.CLIP_KINDS if kind.name in clip["needs"]]
        own = [kind.sampling(clip, self._recipe) for kind in kinds if kind.sampling is not None]
        return own if len(own) == len(kinds) else [*own, shared_sampling(clip, self._recipe)]

    def _measured(self, name: str, sampled: SampledClip) -> Scores:
        if name not in self._measures:
            self._measures[name] = next(k for k in registry.CLIP_KINDS if k.name == name).make(self._recipe)
        with timed(self._report, name.replace("_", " ")) as work:
            work.rows = 1
            return self._measures[name].measure(sampled.frames, sampled.times_s)


NO_FRAMES = np.zeros((0, 2, 2, 3), np.uint8)


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
            batch.select(["clip", "failure", "transient"])
            .append_column("scores", pa.array([json.dumps(found) for found in scores], pa.string()))
            .append_column("embedding", pa.array(vectors, pa.list_(pa.float32())))
        )


@dataclass(frozen=True)
class ClipMeasureWriter:
    """Writes `embeddings`, then the row of every measure that a clip needed."""

    dataset: Dataset
    fingerprints: Mapping[str, str]
    max_failures: int
    report: Reporter

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self.report, "write") as work:
            rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self.fingerprints}
            points = []
            for row in batch.to_pylist():
                clip, scores = json.loads(row["clip"]), json.loads(row["scores"])
                for name in clip["needs"]:
                    rows[name].append(self._measured(clip, name, scores.get(name), row))
                if row["embedding"] is not None:
                    points.append({"clip_id": clip["clip_id"], **scores["embedding"], "embedding": row["embedding"]})
            self.dataset.write_part(EMBEDDINGS, points)
            for name, measured in rows.items():
                self.dataset.write_part(MEASURES[name], measured)
            work.rows = batch.num_rows
            work.count("clips measured", batch.num_rows)
        return batch.select(["clip"])

    def _measured(self, clip: Clip, name: str, scores: Scores | None, row: Mapping[str, Any]) -> dict[str, Any]:
        measured = {"clip_id": clip["clip_id"], "measure": self.fingerprints[name], **NOT_FAILED}
        measured["shown_box"] = clip["content_box"]
        if scores is None:
            why, before = row["failure"] or "no score", clip["failures"][name]
            measured |= failure_columns(why, before, self.max_failures, transient=row["transient"])
        return measured | dict.fromkeys(columns_of(name)) | (scores or {})
