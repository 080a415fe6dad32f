"""Merges the captions of a clip's windows into one by fixed rules, which add nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.structured_caption import ENDS, FIELDS, StructuredCaption

JOINED = ("action", "camera", "on_screen_text")
"""Fields that change during a clip: those of all windows are joined in order, without repeats. Of the other fields the
longest is kept."""


def merged(windows: Sequence[StructuredCaption]) -> StructuredCaption:
    """The caption of the whole clip."""
    if len(windows) == 1:
        return windows[0]
    return StructuredCaption(**{name: _field(name, [getattr(window, name) for window in windows]) for name in FIELDS})


def _field(name: str, said: Sequence[str]) -> str:
    if name not in JOINED:
        return max(said, key=len)
    if name == "action":
        return ", then ".join(_changes(part.strip().rstrip(ENDS) for part in said))
    return " ".join(_changes(part.strip() for part in said))


def _changes(parts: Iterable[str]) -> Iterable[str]:
    """The parts that are not empty, without consecutive repeats."""
    last = ""
    for part in parts:
        if part and part != last:
            yield part
            last = part
