"""What the graphs that encode call: released clips to latents, their texts to token embeddings. No Ray here."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from model.codec.spec import CodecSpec
from pipeline.decode.clip_frames import Clip, VideoClips, frames_of, row_of, sample_video
from pipeline.encode.latents import FAILED, OK, LatentEncoder, OutOfRange, as_half, plan_clip
from pipeline.store.dataset import Dataset
from pipeline.store.retrying import failure_columns
from pipeline.store.run_statistics import Reporter, timed, timed_items
from schemas import LATENTS, TEXT
from schemas.identity import bytes_digest
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.limits import LimitsConfig
from schemas.tables.latents import text_id


@dataclass(frozen=True)
class PlannedFrames:
    """From the released clips of one video to a row for each, with the frames that are to be encoded."""

    config: EncodeConfig
    codec: CodecSpec
    limits: LimitsConfig
    report: Reporter

    def __call__(self, clips: Sequence[Clip]) -> Iterator[dict[str, Any]]:
        video = VideoClips.of(clips, lambda clip: [plan_clip(clip, self.config, self.codec).sampling])
        for number, (sampled,) in timed_items(self.report, "frames", sample_video(self.limits, video)):
            yield row_of(video.clips[number], sampled)


class LatentWriting:
    """Loads the autoencoder once; encodes a batch and writes it as one part."""

    def __init__(
        self, dataset: Dataset, config: EncodeConfig, codec: CodecSpec, max_failures: int, report: Reporter
    ) -> None:
        self._dataset, self._config, self._codec, self._report = dataset, config, codec, report
        self._max_failures = max_failures
        self._encoder = LatentEncoder(config.autoencoder)

    def write(self, batch: pa.Table) -> None:
        with timed(self._report, "latents") as work:
            clips = [pickle.loads(data) for data in batch["clip"].to_pylist()]
            rows = [
                self._row(clip, frames, *failure)
                for clip, frames, *failure in zip(
                    clips, frames_of(batch), batch["failure"].to_pylist(), batch["transient"].to_pylist(), strict=True
                )
            ]
            self._dataset.write_part(LATENTS.within(self._encoder.fingerprint), rows)
            work.rows = len(rows)
            for row in rows:
                work.count("latents " + row["status"])

    def _row(self, clip: dict[str, Any], frames: np.ndarray, failure: str, transient: bool) -> dict[str, Any]:
        row = dict.fromkeys(LATENTS.schema.names) | {
            "clip_id": clip["clip_id"],
            "transform": clip["transform"],
            "encoder": self._encoder.fingerprint,
        }
        if failure:
            return row | self._failed(clip, failure, transient=transient)
        plan = plan_clip(clip, self._config, self._codec)
        try:
            latent = self._encoder(frames, plan.codec)
        except OutOfRange as error:
            return row | self._failed(clip, str(error), transient=False)
        data = latent.tobytes()
        return row | {
            "status": OK,
            "dtype": latent.dtype.name,
            "shape": list(latent.shape),
            "num_positions": math.prod(latent.shape[1:]),
            "valid": list(plan.codec.valid),
            "times_us": list(plan.sampling.times_us),
            "fps": self._config.fps,
            "data_hash": bytes_digest(data),
            "data": data,
        }

    def _failed(self, clip: dict[str, Any], why: str, *, transient: bool) -> dict[str, Any]:
        failed = failure_columns(why, clip["failures"], self._max_failures, transient=transient)
        return {"status": FAILED, "reason": failed.pop("failure"), **failed}


class TextWriting:
    """Loads the text encoder once; embeds a batch of texts and writes it as one part."""

    def __init__(self, dataset: Dataset, config: EncodeConfig, report: Reporter) -> None:
        import torch

        from model.readers.text_encoder import load_text_encoder

        self._dataset, self._report = dataset, report
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._encoder = load_text_encoder(config.text_encoder, device, config.text_dtype)

    def write(self, texts: list[str]) -> None:
        with timed(self._report, "text") as work:
            rows = [self._row(text, tokens) for text, tokens in zip(texts, self._encoder.encode(texts), strict=True)]
            self._dataset.write_part(TEXT.within(self._encoder.fingerprint), rows)
            work.rows = len(rows)

    def _row(self, text: str, tokens: np.ndarray) -> dict[str, Any]:
        data = as_half(tokens, f"the states of {text!r}").tobytes()
        return {
            "text_id": text_id(text),
            "encoder": self._encoder.fingerprint,
            "text": text,
            "dtype": "float16",
            "shape": list(tokens.shape),
            "data_hash": bytes_digest(data),
            "data": data,
        }
