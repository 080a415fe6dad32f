"""What is known of a clip besides its frames: the text that came with its source, and hints from measures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from schemas.words import STOP_WORDS, stem, words

TITLE_COLUMNS = ("title", "alt_text", "alt", "description", "caption", "text", "tags")
"""Columns of an input list that are text about the video, in this order."""
MIN_CAMERA_CONFIDENCE = 0.5
CAMERA_WORDS = {
    "still": "the camera stands still",
    "pan left": "the camera pans left",
    "pan right": "the camera pans right",
    "tilt up": "the camera tilts up",
    "tilt down": "the camera tilts down",
    "zoom in": "the camera zooms in",
    "zoom out": "the camera zooms out",
    "roll": "the camera rolls",
    "shake": "the camera shakes",
}
MAX_HINT_TEXTS = 5

NAMING_WORDS = frozenset(["called", "filmed", "made", "named", "recorded", "shot", "titled"])
"""By which a merged text brings in what a title says, such as a name."""


def title_of(source: str) -> str:
    """The text about a video in the JSON object of its input list's columns; empty if there is none."""
    facts = json.loads(source or "{}")
    found = [str(facts[name]).strip() for name in TITLE_COLUMNS if isinstance(facts.get(name), str | int | float)]
    return ". ".join(dict.fromkeys(filter(None, found)))


def hint_of(clip: Mapping[str, Any]) -> str:
    """Measured facts of a `clips` row in words for a prompt; empty if none is certain enough."""
    facts = []
    label, confidence = clip.get("camera_motion"), clip.get("camera_confidence") or 0.0
    if label in CAMERA_WORDS and confidence >= MIN_CAMERA_CONFIDENCE:
        facts.append(CAMERA_WORDS[label])
    if texts := clip.get("overlay_texts"):
        facts.append("text on the picture reads " + ", ".join(f"“{text}”" for text in texts[:MAX_HINT_TEXTS]))
    return f"Measured, and possibly wrong: {'; '.join(facts)}." if facts else ""


def invented_words(merged: str, caption: str, title: str) -> list[str]:
    """Words of a merged text that neither of the two has, in order; stop words and naming words do not count.

    Words are compared by their stems, so that `moves` is `moving`.
    """
    ignored = STOP_WORDS["en"] | NAMING_WORDS
    known = {stem(word) for word in words(f"{caption} {title}")}
    unknown = [word for word in words(merged) if word not in ignored and stem(word) not in known]
    return list(dict.fromkeys(unknown))
