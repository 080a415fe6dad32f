"""The differences between two texts, word by word.

Words are aligned by their longest common sequences (difflib's matcher), without regard to case and punctuation. Where
no spaces mark words (Chinese, Japanese, Thai) characters are compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from schemas.words import UNSPACED_LETTERS

WORD = re.compile(rf"(?:[{UNSPACED_LETTERS}]|[^\s{UNSPACED_LETTERS}]+)\s*")
"""A word with its punctuation and the space after it."""
PUNCTUATION = re.compile(r"[^\w]")


@dataclass(frozen=True)
class Piece:
    """Consecutive words that all differ, or all do not, and the space after them."""

    text: str
    differs: bool
    space: str


def mark_words(old: str, new: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts as pieces in order. Joined, they give the texts without the space at their ends."""
    sides = [WORD.findall(text.strip()) for text in (old, new)]
    plain = [[PUNCTUATION.sub("", word).casefold() for word in words] for words in sides]
    same: tuple[set[int], set[int]] = (set(), set())
    for a, b, size in SequenceMatcher(None, *plain, autojunk=False).get_matching_blocks():
        same[0].update(range(a, a + size))
        same[1].update(range(b, b + size))
    return _pieces(sides[0], same[0]), _pieces(sides[1], same[1])


def _pieces(words: Sequence[str], same: set[int]) -> list[Piece]:
    pieces = []
    for differs, run in groupby(range(len(words)), lambda i: i not in same):
        text = "".join(words[i] for i in run)
        bare = text.rstrip()
        pieces.append(Piece(bare, differs, text[len(bare) :]))
    return pieces
