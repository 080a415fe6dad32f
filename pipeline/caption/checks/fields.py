"""The fields of a caption that the checks read: those in the captioner's own words."""

from __future__ import annotations

from schemas.structured_caption import FIELDS, StructuredCaption
from schemas.words import unquoted

DESCRIBING = tuple(name for name in FIELDS if name != "on_screen_text")
"""Fields in the captioner's own words; text on screen may say anything."""


def described(caption: StructuredCaption) -> dict[str, str]:
    """The fields in the captioner's own words that are not empty."""
    texts = {name: getattr(caption, name).strip() for name in DESCRIBING}
    return {name: text for name, text in texts.items() if text}


def unquoted_fields(caption: StructuredCaption) -> dict[str, str]:
    """The same without quotations."""
    return {name: unquoted(text) for name, text in described(caption).items()}
