"""The `captions` and `embeddings` tables: what a model says of a clip, keyed by clip and model fingerprint."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import Table, column

OK, REJECTED, FAILED = "ok", "rejected", "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caption:
    """The texts of one captioner for one clip, and what the checks made of them."""

    clip_id: str = column(pa.string(), "the clip")
    captioner: str = column(pa.string(), "fingerprint of weights, prompts and settings")
    captioner_name: str = column(pa.string(), "checkpoint as named in the recipe")
    short: str | None = column(pa.string(), "one sentence")
    detailed: str | None = column(pa.string(), "full description")
    num_words: int | None = column(pa.int32(), "words of the detailed text")
    text_video_similarity: float | None = column(
        pa.float64(), "cosine of the embeddings of the detailed text and of the frames"
    )
    status: str = column(pa.string(), "'ok', 'rejected' or 'failed'")
    reasons: list[str] = column(pa.list_(pa.string()), "every rule that rejects the caption, or why captioning failed")


CAPTIONS = Table(Caption, "captions", key=("clip_id", "captioner"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """A clip as a point: the mean of its frame embeddings, of length one."""

    clip_id: str = column(pa.string(), "the clip")
    encoder: str = column(pa.string(), "fingerprint of the embedding model")
    embedding: list[float] = column(pa.list_(pa.float32()), "unit vector")


EMBEDDINGS = Table(Embedding, "embeddings", key=("clip_id", "encoder"))
