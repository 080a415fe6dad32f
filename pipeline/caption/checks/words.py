"""Words of a caption in any script, and the fields that describe rather than quote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from schemas.structured_caption import FIELDS, UNSPACED, StructuredCaption

DESCRIBING = tuple(name for name in FIELDS if name != "on_screen_text")
"""Fields in the captioner's own words; what stands on screen may say anything."""
_UNSPACED = UNSPACED.pattern[1:-1]
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0970-\u0dff"
"""Marks that are part of a word but none of Python's word characters: accents, vowel signs of Hebrew, Arabic, India."""
_WORD = re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]|[{_MARKS}])+(?:'(?:[^\W_{_UNSPACED}]|[{_MARKS}])+)*")
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』')
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})
UNSPACED_PER_WORD = 2
"""Characters to a word where none are marked by spaces: most words of modern Chinese have two."""


@lru_cache(maxsize=64)
def words(text: str) -> tuple[str, ...]:
    """Words in lower case; each character by itself in scripts that put no space between words."""
    return tuple(_WORD.findall(plain(text)))


def num_words(units: Sequence[str]) -> float:
    """How many words these are, for scripts without spaces by the number of characters."""
    return len(units) - num_characters(units) * (1 - 1 / UNSPACED_PER_WORD)


def is_unspaced(units: Sequence[str]) -> bool:
    """Whether most are characters of a script without spaces."""
    return 2 * num_characters(units) > len(units)


def num_characters(units: Sequence[str]) -> int:
    """How many are characters of a script without spaces."""
    return len(UNSPACED.findall("".join(units)))


def plain(text: str) -> str:
    """In lower case and with one kind of apostrophe."""
    return text.lower().translate(_APOSTROPHES)


def unquoted(text: str) -> str:
    """Without what stands in quotation marks, which are the words of a sign or a speaker."""
    return _QUOTED.sub(" ", text)


def described(caption: StructuredCaption) -> dict[str, str]:
    """The fields in the captioner's own words that say anything."""
    texts = {name: getattr(caption, name).strip() for name in DESCRIBING}
    return {name: text for name, text in texts.items() if text}


def unquoted_fields(caption: StructuredCaption) -> dict[str, str]:
    """The same without quotations."""
    return {name: unquoted(text) for name, text in described(caption).items()}
