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
from pipeline.dataset import Dataset, new_rows
from pipeline.ledger import Reporter, timed
from pipeline.stages.clip_frames import sample_clip
from schemas import CAPTIONS, EMBEDDINGS
from schemas.captions import FAILED, OK, REJECTED
from schemas.recipe import CaptionConfig, EmbeddingConfig, FramesConfig, Recipe, reasons_against


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
    report: Reporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with timed(self.report, "frames") as work:
            sampled = sample_clip(json.loads(row["clip"]), self.config)
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
    """Loads the embedding model once; replaces the frames by their embedding and its cosine with the caption."""

    def __init__(self, config: EmbeddingConfig, report: Reporter) -> None:
        from pipeline.stages.embedding import ClipEmbedder

        self._embedder = ClipEmbedder(config)
        self._report = report

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self._report, "embed") as work:
            frames = frames_of(batch)
            captions = [json.loads(text) for text in batch["caption"].to_pylist()]
            readable = [i for i, clip in enumerate(frames) if len(clip)]
            vectors = self._embedder.embed_frames([frames[i] for i in readable])
            scores: list[dict[str, Any]] = [{"embedding": None, "similarity": None} for _ in captions]
            for i, vector in zip(readable, vectors, strict=True):
                scores[i]["embedding"] = vector.tolist()
            texts = [i for i in readable if captions[i]["detailed"]]
            for i, text in zip(
                texts, self._embedder.embed_texts([captions[i]["detailed"] for i in texts]), strict=True
            ):
                scores[i]["similarity"] = float(np.dot(text, scores[i]["embedding"]))
            work.rows = len(captions)
        encoded = [json.dumps(score | {"encoder": self._embedder.fingerprint}) for score in scores]
        return batch.select(["clip", "caption"]).append_column("scores", pa.array(encoded, pa.string()))


@dataclass(frozen=True)
class CaptionWriter:
    """Judge captions by the recipe's rules and write `embeddings`, then `captions`."""

    dataset: Dataset
    recipe: Recipe
    embedded: frozenset[tuple]
    """Keys of embeddings that are there already, of the clips that earlier runs left without a caption."""
    report: Reporter

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self.report, "write") as work:
            clips, captions, scores = (
                [json.loads(text) for text in batch[name].to_pylist()] for name in ("clip", "caption", "scores")
            )
            rows = [self._row(*parts) for parts in zip(clips, captions, scores, strict=True)]
            points = [
                {"clip_id": clip["clip_id"], "encoder": score["encoder"], "embedding": score["embedding"]}
                for clip, score in zip(clips, scores, strict=True)
                if score["embedding"] is not None
            ]
            self.dataset.write_part(EMBEDDINGS, new_rows(points, EMBEDDINGS, set(self.embedded)))
            self.dataset.write_part(CAPTIONS, new_rows(rows, CAPTIONS, set()))
            work.rows = len(rows)
            for row in rows:
                work.count("captions " + row["status"])
        return batch.select(["clip"])

    def _row(self, clip: dict[str, Any], caption: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
        row = {
            "clip_id": clip["clip_id"],
            "captioner": caption["captioner"],
            "captioner_name": self.recipe.caption.checkpoint,
            "short": caption["short"],
            "detailed": caption["detailed"],
            "num_words": len(caption["detailed"].split()) if caption["detailed"] else None,
            "text_video_similarity": scores["similarity"],
        }
        if caption["failure"]:
            return row | {"status": FAILED, "reasons": [caption["failure"]]}
        reasons = reasons_against(self.recipe.caption_rules, row)
        return row | {"status": REJECTED if reasons else OK, "reasons": reasons}
