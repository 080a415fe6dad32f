"""The caption half of the graph: frames, caption, similarity, tables. Callables for batches; no Ray here.

Models are imported where they are loaded, in the actors, so that the driver stays light. Between stages a row carries
the clip as JSON and its frames as bytes with a shape. A failure travels in the row, so every clip that goes in comes
out with a caption or the reason why it has none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.captioners.captioner import CaptionerConfig, ClipFrames, load_captioner
from pipeline.dataset import Dataset
from pipeline.ledger import Reporter, timed
from pipeline.stages.clip_frames import sample_isolated, spread_times_us
from schemas import CAPTIONS
from schemas.captions import FAILED, OK, REJECTED
from schemas.looking import CaptionConfig, EmbeddingConfig, FramesConfig
from schemas.recipe import Recipe
from schemas.rules import reasons_against
from schemas.splitting import LimitsConfig


def captioner_config(config: CaptionConfig) -> CaptionerConfig:
    """The captioner that a recipe names."""
    if config.backend == "none":
        raise ValueError("the recipe wants no captions")
    return CaptionerConfig(
        backend=config.backend,
        checkpoint=config.checkpoint,
        num_frames=config.num_frames,
        max_pixels_px=config.max_pixels_px,
        max_new_tokens=config.max_new_tokens,
        dtype=config.dtype,
        batch=config.batch_clips,
        engine_options=config.engine_options,
    )


@dataclass(frozen=True)
class FrameSampling:
    """Add the frames of a clip to its row."""

    config: FramesConfig
    limits: LimitsConfig
    report: Reporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with timed(self.report, "frames") as work:
            clip = json.loads(row["clip"])
            times_us = spread_times_us(clip, self.config.num_frames)
            sampled = sample_isolated(self.limits, clip, times_us, self.config.max_pixels_px)
            work.rows, work.num_bytes = 1, sampled.frames.nbytes
        return {
            "clip": row["clip"],
            "frames": sampled.frames.tobytes(),
            "shape": list(sampled.frames.shape),
            "times_s": [float(t) for t in sampled.times_s],
            "failure": sampled.failure or "",
        }


def frames_of(batch: pa.Table) -> list[np.ndarray]:
    """The frames of each row, (T, H, W, 3) uint8, T = 0 where they could not be read."""
    pairs = zip(batch["frames"].to_pylist(), batch["shape"].to_pylist(), strict=True)
    return [np.frombuffer(data, np.uint8).reshape(shape) for data, shape in pairs]


class Captioning:
    """Loads the captioner once; adds `caption` (JSON) to each row."""

    def __init__(self, config: CaptionConfig, report: Reporter) -> None:
        self._captioner = load_captioner(captioner_config(config))
        self._report = report

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self._report, "caption") as work:
            frames = frames_of(batch)
            failures = batch["failure"].to_pylist()
            times_s = batch["times_s"].to_pylist()
            readable = [i for i, failure in enumerate(failures) if not failure]
            captions = self._captioner.caption([ClipFrames(frames[i], times_s[i]) for i in readable])
            texts: list[dict[str, Any]] = [
                {"short": None, "detailed": None, "failure": failure} for failure in failures
            ]
            for i, caption in zip(readable, captions, strict=True):
                texts[i] = {"short": caption.short, "detailed": caption.detailed, "failure": caption.failure}
                work.count("output tokens", caption.num_output_tokens)
            work.rows = len(texts)
        encoded = [json.dumps(text | {"captioner": self._captioner.fingerprint}) for text in texts]
        return batch.append_column("caption", pa.array(encoded, pa.string()))


class SimilarityScoring:
    """Loads the embedding model once; replaces the frames by the cosine of the caption with the clip's embedding."""

    def __init__(self, config: EmbeddingConfig, report: Reporter) -> None:
        from pipeline.stages.embedding import ClipEmbedder, text_video_similarity

        self._embedder, self._similarity = ClipEmbedder(config), text_video_similarity
        self._report = report

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self._report, "similarity") as work:
            clips = [json.loads(text) for text in batch["clip"].to_pylist()]
            captions = [json.loads(text) for text in batch["caption"].to_pylist()]
            similarities: list[float | None] = [None] * len(clips)
            pairs = [
                i
                for i, (clip, caption) in enumerate(zip(clips, captions, strict=True))
                if caption["detailed"] and clip["encoder"] == self._embedder.fingerprint
            ]
            texts = self._embedder.embed_texts([captions[i]["detailed"] for i in pairs])
            vectors = np.array([clips[i]["embedding"] for i in pairs], np.float32).reshape(texts.shape)
            for i, similarity in zip(pairs, self._similarity(texts, vectors).tolist(), strict=True):
                similarities[i] = similarity
            work.rows = len(captions)
        column = pa.array(similarities, pa.float64())
        return batch.select(["clip", "caption"]).append_column("similarity", column)


@dataclass(frozen=True)
class CaptionWriter:
    """Judge captions by the recipe's rules and write them."""

    dataset: Dataset
    recipe: Recipe
    report: Reporter

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self.report, "write") as work:
            clips, captions = ([json.loads(text) for text in batch[name].to_pylist()] for name in ("clip", "caption"))
            similarities = batch["similarity"].to_pylist()
            rows = [self._row(*parts) for parts in zip(clips, captions, similarities, strict=True)]
            self.dataset.write_part(CAPTIONS, rows)
            work.rows = len(rows)
            for row in rows:
                work.count("captions " + row["status"])
        return batch.select(["clip"])

    def _row(self, clip: dict[str, Any], caption: dict[str, Any], similarity: float | None) -> dict[str, Any]:
        row = {
            "clip_id": clip["clip_id"],
            "captioner": caption["captioner"],
            "captioner_name": self.recipe.caption.checkpoint,
            "short": caption["short"],
            "detailed": caption["detailed"],
            "num_words": len(caption["detailed"].split()) if caption["detailed"] else None,
            "text_video_similarity": similarity,
        }
        if caption["failure"]:
            return row | {"status": FAILED, "reasons": [caption["failure"]]}
        reasons = reasons_against(self.recipe.caption_rules, row)
        return row | {"status": REJECTED if reasons else OK, "reasons": reasons}
