"""The `caption_identity` table: whether captions belong to their clips, judged by all captions of a captioner."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import Table, column


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityChecks:
    """Signs that a caption was meant for another clip; null where there are too few others to compare with."""

    own_fit: float | None = column(
        pa.float64(),
        "fit of caption and clip: standard deviations above the mean of both with others, 0 for a chance pair",
    )
    fit_margin: float | None = column(
        pa.float64(),
        "the same less the best fits of caption and clip elsewhere; null if the embedding model tells too little",
    )
    better_clip: str | None = column(pa.string(), "the clip that it fits best, if that is not its own")
    batch_shift: float | None = column(
        pa.float64(),
        "t statistic of how much better the captions written with it fit the next clip, or the one before, than theirs",
    )
    num_unlike: int | None = column(
        pa.int64(), "other clips that have the same or nearly the same caption and show something else"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionIdentity:
    """What the captions and embeddings of other clips say of a caption."""

    clip_id: str = column(pa.string(), "the clip")
    captioner: str = column(pa.string(), "fingerprint of the captioner")
    encoder: str = column(pa.string(), "fingerprint of the embedding model of text and clips")
    caption_us: int | None = column(pa.int64(), "when the caption was written that was checked", unit="us")
    checked: str = column(
        pa.string(), "hash of the code's version and of all that was read: every caption, its batch, every embedding"
    )


CAPTION_IDENTITY = Table(CaptionIdentity, "caption_identity", key=("clip_id", "captioner"), parts=(IdentityChecks,))
