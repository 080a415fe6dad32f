"""A structured caption: what a captioner says of a clip, field by field, and the texts that are made of the fields.

A captioner is asked once, for the fields; short, medium and detailed texts are put together from them, so that the
three can never disagree and cost no second answer. (Fields rather than free text: MiraData, Ju et al. 2024,
arXiv:2407.06358; SkyReels-V2's captioner, Chen et al. 2025, arXiv:2504.13074.)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from schemas.words import UNSPACED, terms

Length = Literal["short", "medium", "detailed"]


@dataclass(frozen=True)
class StructuredCaption:
    """Subject and action make a sentence between them; the others are sentences, or empty where there is nothing."""

    subject: str = ""
    action: str = ""
    setting: str = ""
    camera: str = ""
    light: str = ""
    style: str = ""
    on_screen_text: str = ""


FIELDS = tuple(field.name for field in fields(StructuredCaption))
ORDER: dict[Length, tuple[str, ...]] = {
    "short": (),
    "medium": ("setting",),
    "detailed": ("setting", "light", "camera", "style", "on_screen_text"),
}
"""What follows subject and action in a text of each length."""
ENDS = ".!?…。！？"


def text_of(caption: StructuredCaption, length: Length) -> str:
    """A text of the wanted length. A field that says nothing but what has been said is left out."""
    subject, action = caption.subject.strip(), caption.action.strip()
    gap = "" if UNSPACED.search(subject[-1:]) or not (subject and action) else " "
    sentences = [_sentence(subject + gap + action)]
    for name in ORDER[length]:
        value = getattr(caption, name).strip()
        if name == "on_screen_text" and value:
            sentences.append(f"“{value}”")
        elif not terms(value) <= terms(" ".join(sentences)):
            sentences.append(_sentence(value))
    glue = "" if UNSPACED.search(sentences[0][-2:-1]) else " "
    return glue.join(sentence for sentence in sentences if sentence)


def _sentence(text: str) -> str:
    if not text:
        return ""
    stop = "。" if UNSPACED.search(text[-1]) else "."
    return text[0].upper() + text[1:] + ("" if text[-1] in ENDS else stop)


def json_schema() -> dict[str, Any]:
    """What a guided engine may answer: every field, a string each, nothing else."""
    strings = {name: {"type": "string"} for name in FIELDS}
    return {"type": "object", "properties": strings, "required": list(FIELDS), "additionalProperties": False}


def to_json(caption: StructuredCaption) -> str:
    """As a guided engine writes it: the fields in order, on one line."""
    return json.dumps(asdict(caption), ensure_ascii=False)


def from_json(answer: str) -> StructuredCaption:
    """Read an answer; what stands before the first brace and after the last one is passed over, and a half of a
    surrogate pair, which no file can hold, becomes a question mark.

    Raises:
        ValueError: no object with the fields, each a string; missing ones are empty but `subject` must say something.
    """
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0 or end < start:
        raise ValueError("no JSON object in the answer")
    try:
        found = json.loads(answer[start : end + 1])
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error.msg}") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(name, ""), str) for name in FIELDS):
        raise ValueError("a field is not a string")
    caption = StructuredCaption(**{name: found.get(name, "").encode(errors="replace").decode() for name in FIELDS})
    if not caption.subject.strip():
        raise ValueError("the answer names no subject")
    return caption
