"""Clip measures over the clips that the rules have left in: read frames, measure. Callables for batches; no Ray.

Frames are read once for all measures that want the same ones. A measure with frames of its own runs where they are
read, for they are large; the others are shown a few reduced frames, which travel to where their models are. A failure
travels in the row, so that every clip that goes in comes out with the scores that it needs or the reason why it has
none.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.decode.clip_frames import Clip, SampledClip, Sampling, VideoClips, frames_of, row_of, sample_video
from pipeline.measure import registry
from pipeline.measure.kinds import ClipMeasure, shared_sampling
from pipeline.store.retrying import NOT_FAILED, failure_columns
from pipeline.store.run_statistics import Reporter, timed, timed_items
from schemas import EMBEDDINGS, MEASURES
from schemas.columns import Table
from schemas.recipe import Recipe
from schemas.tables.measures import columns_of

Scores = dict[str, Any]


class ClipReader:
    """Reads the frames of a video's clips, takes the measures that have frames of their own, and passes the shared ones
    on."""

    def __init__(self, recipe: Recipe, report: Reporter) -> None:
        self._recipe, self._report = recipe, report
        self._measures: dict[str, ClipMeasure] = {}

    def read(self, clips: Sequence[Clip]) -> Iterator[dict[str, Any]]:
        """From the clips of one video, each with what it needs, to a row for each."""
        video = VideoClips.of(clips, self._samplings)
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
    """Loads the measures that have no frames of their own, and makes the rows of `embeddings` and of every measure that
    a clip needed."""

    def __init__(self, recipe: Recipe, fingerprints: Mapping[str, str], report: Reporter) -> None:
        self._report, self._fingerprints, self._max_failures = report, fingerprints, recipe.limits.max_failures
        kinds = [k for k in registry.CLIP_KINDS if k.sampling is None and k.name in recipe.clip_measures]
        self._measures = {kind.name: kind.make(recipe) for kind in kinds}

    def rows(self, batch: pa.Table) -> dict[Table, pa.Table]:
        with timed(self._report, "clip measures") as work:
            clips = [pickle.loads(data) for data in batch["clip"].to_pylist()]
            scores = [json.loads(text) for text in batch["scores"].to_pylist()]
            frames, times_s = frames_of(batch), batch["times_s"].to_pylist()
            failures, transient = batch["failure"].to_pylist(), batch["transient"].to_pylist()
            points = []
            for i in (i for i, failure in enumerate(failures) if not failure):
                for name in (name for name in self._measures if name in clips[i]["needs"]):
                    scores[i][name] = self._measures[name].measure(frames[i], times_s[i])
                    if "embedding" in scores[i][name]:
                        points.append({"clip_id": clips[i]["clip_id"], **scores[i][name]})
                        del scores[i][name]["embedding"]
            measured: dict[str, list[Scores]] = {name: [] for name in self._fingerprints}
            for clip, found, *failure in zip(clips, scores, failures, transient, strict=True):
                for name in clip["needs"]:
                    measured[name].append(self._row(clip, name, found.get(name), *failure))
            work.rows = len(clips)
        rows = {EMBEDDINGS: EMBEDDINGS.unstamped(points)}
        return rows | {MEASURES[name]: MEASURES[name].unstamped(of_measure) for name, of_measure in measured.items()}

    def _row(self, clip: Clip, name: str, scores: Scores | None, why: str, transient: bool) -> Scores:
        row = {"clip_id": clip["clip_id"], "measure": self._fingerprints[name], **NOT_FAILED}
        row["shown_box"] = clip["content_box"]
        if scores is None:
            before = clip["failures"][name]
            row |= failure_columns(why or "no score", before, self._max_failures, transient=transient)
        return row | dict.fromkeys(columns_of(name)) | (scores or {})
