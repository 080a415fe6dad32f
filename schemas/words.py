"""Words of a text in any script: where one ends, which say nothing by themselves, which are forms of one word.

Scripts that put no space between words (Chinese, Japanese, Thai) are taken by character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

UNSPACED_LETTERS = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
"""Kana, Han and Thai, as the inside of a character class."""
UNSPACED = re.compile(f"[{UNSPACED_LETTERS}]")
UNSPACED_PER_WORD = 2
"""Characters to a word where no spaces mark them: most words of modern Chinese have two."""
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0970-\u0dff"
"""Marks that are part of a word but not in Python's \\w: accents, vowel signs of Hebrew, Arabic, India."""
_LETTER = rf"(?:[^\W_{UNSPACED_LETTERS}]|[{_MARKS}])"
_WORD = re.compile(rf"[{UNSPACED_LETTERS}]|{_LETTER}+(?:'{_LETTER}+)*")
_RUN = re.compile(rf"[{UNSPACED_LETTERS}]+|{_LETTER}+(?:'{_LETTER}+)*")
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』')
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(listed.split())
    for language, listed in {
        "en": """a an the and or nor but so of off in into on onto at to too from with by for as than out over up under
            through then while not no is are am was were be been being has have had he him his she her it its we us our
            they them their this that these those there here which who whose what some one""",
        "es": "el la los las un una y o de del con en por para que se su al lo",
        "fr": "le les un une des du et ou de dans avec est sont sur qui il elle au aux ce cette sa son ses",
        "it": "il lo la i gli le un una e o di da della del nel con che si",
        "pt": "o a os as um uma e em no na do da dos das de com ao à",
        "de": "der die das ein eine einen einem einer und oder im in den dem des mit von zu auf ist sind sich es er",
        "ru": "и в на с к из от за по не он она они его её как что у",
        "ar": "و في من على إلى عن ثم هو هي التي الذي",
        "hi": "और के की का को में से पर है हैं एक वह यह ने",
    }.items()
}
"""Words that join what is said and say nothing themselves, by ISO 639-1 code of the language."""
_ENDINGS = ("ingly", "edly", "ings", "ing", "ied", "ies", "ed", "es", "ly", "s", "e")
_STEM_LETTERS = 3


@lru_cache(maxsize=64)
def words(text: str) -> tuple[str, ...]:
    """Words in lower case; each character by itself in scripts that put no space between words."""
    return tuple(_WORD.findall(plain(text)))


def terms(text: str) -> set[str]:
    """The words of a text; where no spaces mark them, the pairs of neighbouring characters (a lone one by itself)."""
    found: set[str] = set()
    for run in _RUN.findall(plain(text)):
        found |= {run[i : i + 2] for i in range(max(len(run) - 1, 1))} if UNSPACED.match(run) else {run}
    return found


def stem(word: str) -> str:
    """Without an English ending, if that leaves 3 letters, and of one doubled letter at its end a single one.

    Roughly: `moves`, `moving` and `move` are one, and so are `run` and `running`.
    """
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_LETTERS:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > _STEM_LETTERS and word[-1] == word[-2] else word


def num_words(units: Sequence[str]) -> float:
    """How many words these are, for scripts without spaces by the number of characters."""
    return len(units) - _num_characters(units) * (1 - 1 / UNSPACED_PER_WORD)


def is_unspaced(units: Sequence[str]) -> bool:
    """Whether most are characters of a script without spaces."""
    return 2 * _num_characters(units) > len(units)


def _num_characters(units: Sequence[str]) -> int:
    return len(UNSPACED.findall("".join(units)))


def plain(text: str) -> str:
    """In lower case and with one kind of apostrophe."""
    return text.lower().translate(_APOSTROPHES)


def unquoted(text: str) -> str:
    """Without what is in quotation marks, which are the words of a sign or a speaker."""
    return _QUOTED.sub(" ", text)
