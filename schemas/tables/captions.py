"""The `captions` and `embeddings` tables: what a model says of a clip, keyed by clip and model fingerprint."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import FAILED_FOR_NOW, FAILED_SO_OFTEN, Table, column
from schemas.tables.caption_checks import CaptionChecks

OK, REJECTED, FAILED, PENDING = "ok", "rejected", "failed", "pending"
"""What the view `captions` says of a caption: failed if there is none, pending while it has no decision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caption:
    """What one captioner said of one clip: fields, the texts made of them, and what the checks made of those.

    Whether the text is accepted is in `caption_decisions`.
    """

    clip_id: str = column(pa.string(), "the clip")
    captioner: str = column(pa.string(), "fingerprint of weights, prompts and settings")
    captioner_name: str = column(pa.string(), "checkpoint as named in the recipe; of the built-in one what it knows")
    language: str = column(pa.string(), "ISO 639-1 code of the language asked for")
    subject: str | None = column(pa.string(), "who or what is seen, with visible details")
    action: str | None = column(pa.string(), "what the subject does; goes on from `subject` as a sentence")
    setting: str | None = column(pa.string(), "where it is and what is behind it")
    camera: str | None = column(pa.string(), "how the camera moves and the shot is framed")
    light: str | None = column(pa.string(), "light and dominant colours")
    style: str | None = column(pa.string(), "what kind of picture it is")
    on_screen_text: str | None = column(pa.string(), "text overlaid on the picture; empty if none")
    short: str | None = column(pa.string(), "one sentence: subject and action")
    medium: str | None = column(pa.string(), "subject, action and setting")
    detailed: str | None = column(pa.string(), "all fields that say something new")
    merged: str | None = column(
        pa.string(), "`detailed` merged with the source's own text; null without one, or if words were invented"
    )
    invented: list[str] | None = column(
        pa.list_(pa.string()), "words of the merged text that neither the caption nor the source's text says"
    )
    num_words: int | None = column(pa.int32(), "words of the detailed text")
    num_output_tokens: int = column(pa.int32(), "tokens that the model wrote for it, all tries together")
    num_attempts: int = column(pa.int32(), "1, or 2 if a rule or broken JSON made it be asked for again")
    text_video_similarity: float | None = column(
        pa.float64(), "cosine of the embeddings of the detailed text and of the frames"
    )
    failure: str | None = column(pa.string(), "why captioning failed; null if there is a caption")
    shown_box: list[int] | None = column(
        pa.list_(pa.int32()), "content box of the frames that the captioner saw", unit="px"
    )
    given: str | None = column(
        pa.string(), "hash of what it was given beside the frames: hints and the source's text, where they are used"
    )
    similarity_encoder: str | None = column(
        pa.string(),
        "the embedding model behind `text_video_similarity`, which counts as long as the clip's is the same",
    )
    text_embedding: list[float] | None = column(
        pa.list_(pa.float32()), "unit vector of the detailed text by that model; null without a model"
    )
    batch_id: str | None = column(pa.string(), "hash of the clips that were captioned together, in order")
    batch_place: int | None = column(pa.int32(), "place of the clip among those")
    transient: bool | None = column(pa.bool_(), FAILED_FOR_NOW)
    num_failures: int | None = column(pa.int32(), FAILED_SO_OFTEN)
    was_cut: bool | None = column(
        pa.bool_(), "whether the limit of tokens ended the answer; null without one, and in rows of earlier versions"
    )
    checks_version: int | None = column(
        pa.int32(), "version of the code of its checks: the run after a change checks it again, and writes it anew"
    )
    contradicted_when_written: float | None = column(
        pa.float64(), "what earlier versions had instead of `camera_claims`: `contradicts_camera` by the scores of then"
    )


CAPTIONS = Table(
    Caption,
    "captions",
    key=("clip_id", "captioner"),
    parts=(CaptionChecks,),
    formerly={"captioned_us": "written_us", "contradicts_camera": "contradicted_when_written"},
    former_columns={"status": pa.string(), "reasons": pa.list_(pa.string())},
    recovered={"failure": f"if(status = '{FAILED}', reasons[1], null)"},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """A clip as a point: the mean of its frame embeddings, of length one."""

    clip_id: str = column(pa.string(), "the clip")
    encoder: str = column(pa.string(), "fingerprint of the embedding model")
    embedding: list[float] = column(pa.list_(pa.float32()), "unit vector")


EMBEDDINGS = Table(Embedding, "embeddings", key=("clip_id", "encoder"))
