"""Decisions: `decisions` on clips, `caption_decisions` on captions. The newest counts."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.columns import Table, column


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What the rules make of a clip, written when it differs from the last decision; without one a clip is pending."""

    clip_id: str = column(pa.string(), "the clip")
    rules_fingerprint: str = column(pa.string(), "fingerprint of the rules that decided")
    status: str | None = column(
        pa.string(), "'kept', 'rejected' or 'failed'; null if it is undecided again, as a measure is missing"
    )
    reasons: list[str] = column(
        pa.list_(pa.string()), "every rule that rejects the clip, or why it failed or is undecided"
    )


DECISIONS = Table(
    Decision,
    "decisions",
    key=("clip_id", "rules_fingerprint", "written_us"),
    formerly={"gate": "rules_fingerprint", "decided_us": "written_us"},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionDecision:
    """What the rules make of a caption, written when it differs from the last decision; without one it is pending.

    It does not apply to a caption that is written later. Captions of earlier versions came with their first decision.
    """

    clip_id: str = column(pa.string(), "the clip")
    captioner: str = column(pa.string(), "fingerprint of the captioner")
    rules_fingerprint: str = column(pa.string(), "fingerprint of the rules that decided")
    status: str = column(pa.string(), "'ok' or 'rejected'")
    reasons: list[str] = column(pa.list_(pa.string()), "every rule that rejects the caption")


CAPTION_DECISIONS = Table(
    CaptionDecision,
    "caption_decisions",
    key=("clip_id", "captioner", "rules_fingerprint", "written_us"),
    formerly={"gate": "rules_fingerprint", "decided_us": "written_us"},
)
