"""All checks of a caption in one call: the columns of `CaptionChecks`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.caption.checks.agreement import sample_agreement
from pipeline.caption.checks.camera_statements import camera_claims
from pipeline.caption.checks.fields import described, unquoted_fields
from pipeline.caption.checks.language import wrong_language
from pipeline.caption.checks.padding import padding_frac
from pipeline.caption.checks.prompt_leak import prompt_leak
from pipeline.caption.checks.refusal import refusal
from pipeline.caption.checks.repetition import repetition_frac
from pipeline.caption.checks.truncation import truncated
from schemas.structured_caption import FIELDS, StructuredCaption

VERSION = 1
"""Raised when the code of a check changes what is written of the same caption."""


def check(
    caption: StructuredCaption,
    *,
    answer: str,
    was_cut: bool,
    language: str,
    prompt: str,
    other: StructuredCaption | None,
) -> dict[str, Any]:
    """The columns of `CaptionChecks`. About a millisecond; the first call loads the model of languages (0.2 s).

    Args:
        caption: what could be read of the answer; an empty one if nothing could.
        answer: as the model gave it, the empty string where there is none.
        was_cut: whether the limit of tokens ended it.
        language: ISO 639-1 code of the language asked for.
        prompt: the templates of system and user, `{names}` not filled in.
        other: a second sample of the same clip.
    """
    written, fields = described(caption), unquoted_fields(caption)
    unread = [] if written else [answer]
    return {
        "refusal": refusal([*fields.values(), *unread]),
        "repetition_frac": repetition_frac(fields.values()),
        "truncated": truncated(answer, was_cut, written.values(), language),
        "wrong_language": wrong_language(fields.values(), language),
        "prompt_leak": prompt_leak(written.values(), caption.on_screen_text, prompt),
        "padding_frac": padding_frac(fields.values(), language),
        "camera_claims": camera_claims(fields, language),
        "sample_agreement": sample_agreement(caption, other),
    }


def check_again(row: Mapping[str, Any], prompt: str | None) -> dict[str, Any]:
    """What the checks of now make of a row of `captions` that has a caption: the columns that they change.

    What needs an answer that is not kept stays as it is: how two samples agree, and in rows that do not say whether the
    answer was cut, that it was.

    Args:
        prompt: the captioner's; None if it is not known, which leaves what leaked of it as it is.
    """
    caption = StructuredCaption(**{name: row[name] or "" for name in FIELDS})
    was_cut = row["truncated"] == 1 if row["was_cut"] is None else row["was_cut"]
    found = check(caption, answer="", was_cut=was_cut, language=row["language"], prompt=prompt or "", other=None)
    del found["sample_agreement"]
    if prompt is None:
        del found["prompt_leak"]
    return found | {"checks_version": VERSION}
