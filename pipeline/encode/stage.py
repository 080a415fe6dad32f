"""What the graphs that encode call: released clips to latents, their texts to token embeddings. No Ray here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.decode.clip_frames import frames_of
from pipeline.encode.latents import FAILED, OK, LatentEncoder, read_planned
from pipeline.store.dataset import Dataset
from pipeline.store.run_statistics import Reporter, timed
from schemas import LATENTS, TEXT
from schemas.recipe.encode import EncodeConfig
from schemas.tables.latents import text_id


@dataclass(frozen=True)
class PlannedFrames:
    """Add to a released clip the frames that are to be encoded."""

    config: EncodeConfig
    report: Reporter

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with timed(self.report, "frames") as work:
            sampled = read_planned(json.loads(row["clip"]), self.config)
            work.rows, work.num_bytes = 1, sampled.frames.nbytes
        return {
            "clip": row["clip"],
            "frames": sampled.frames.tobytes(),
            "shape": list(sampled.frames.shape),
            "failure": sampled.failure or "",
        }


class LatentWriting:
    """Loads the autoencoder once; encodes a batch and writes it as one part."""

    def __init__(self, dataset: Dataset, config: EncodeConfig, report: Reporter) -> None:
        self._dataset, self._config, self._report = dataset, config, report
        self._encoder = LatentEncoder(config.autoencoder)

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self._report, "latents") as work:
            clips = [json.loads(text) for text in batch["clip"].to_pylist()]
            rows = [
                self._row(clip, frames, failure)
                for clip, frames, failure in zip(clips, frames_of(batch), batch["failure"].to_pylist(), strict=True)
            ]
            self._dataset.write_part(LATENTS.within(self._encoder.fingerprint), rows)
            work.rows = len(rows)
            for row in rows:
                work.count("latents " + row["status"])
        return batch.select(["clip"])

    def _row(self, clip: dict[str, Any], frames, failure: str) -> dict[str, Any]:
        row = dict.fromkeys(LATENTS.schema.names) | {
            "clip_id": clip["clip_id"],
            "transform": self._config.transform,
            "encoder": self._encoder.fingerprint,
            "status": FAILED,
            "reason": failure or None,
        }
        if failure:
            return row
        latent = self._encoder(frames)
        return row | {
            "status": OK,
            "dtype": latent.dtype.name,
            "shape": list(latent.shape),
            "data": latent.tobytes(),
            "fps": self._config.fps,
        }


class TextWriting:
    """Loads the text encoder once; embeds a batch of texts and writes it as one part."""

    def __init__(self, dataset: Dataset, config: EncodeConfig, report: Reporter) -> None:
        from model.readers.text_encoder import load_text_encoder

        self._dataset, self._report = dataset, report
        self._encoder = load_text_encoder(config.text_encoder)

    def __call__(self, batch: pa.Table) -> pa.Table:
        with timed(self._report, "text") as work:
            texts = batch["text"].to_pylist()
            rows = [
                {
                    "text_id": text_id(text),
                    "encoder": self._encoder.fingerprint,
                    "text": text,
                    "dtype": "float16",
                    "shape": list(tokens.shape),
                    "data": tokens.astype("float16").tobytes(),
                }
                for text, tokens in zip(texts, self._encoder.encode(texts), strict=True)
            ]
            self._dataset.write_part(TEXT.within(self._encoder.fingerprint), rows)
            work.rows = len(rows)
        return batch
