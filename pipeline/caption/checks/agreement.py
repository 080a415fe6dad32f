"""Agreement of two captions of a clip: the F1 of their content words.

Crude: synonyms count as different, and a word says the same wherever it stands. It tells a captioner that invents from
one that sees the same twice (SelfCheckGPT's idea, Manakul et al. 2023, arXiv:2303.08896), not which of them is right.
"""

from __future__ import annotations

import re

from pipeline.caption.checks.words import unquoted_fields, words
from schemas.structured_caption import UNSPACED, StructuredCaption

_STOP_WORDS: dict[str, str] = {
    "English": """a an the and or but of in on at to from with by for as is are was be been it its he she they his her
        their him them this that these those there which who while into onto over under out up down off through then
        than not no one two has have had some each other another very slightly""",
    "Spanish": "el la los las un una y o de del con en por para que se su al lo",
    "French": "le les un une des du et ou de dans avec est sont sur qui il elle au aux ce cette sa son ses",
    "Italian": "il lo la i gli le un una e o di da della del nel con che si",
    "Portuguese": "o a os as um uma e em no na do da dos das de com ao à",
    "German": "der die das ein eine einen einem einer und oder im in den dem des mit von zu auf ist sind sich es er",
    "Russian": "и в на с к из от за по не он она они его её как что у",
    "Arabic": "و في من على إلى عن ثم هو هي التي الذي",
    "Hindi": "और के की का को में से पर है हैं एक वह यह ने",
}
STOP_WORDS = frozenset(word for listed in _STOP_WORDS.values() for word in listed.split())
_ENDING = re.compile(r"(?:ingly|edly|ings|ing|ied|ies|ed|es|ly|s|e)$")
_STEM_LETTERS = 3


def sample_agreement(caption: StructuredCaption, other: StructuredCaption | None) -> float | None:
    """F1 of the two sets of content words, over the fields in the captioner's own words; None without any in one."""
    if other is None:
        return None
    ours, theirs = _content(caption), _content(other)
    if not ours or not theirs:
        return None
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


def _content(caption: StructuredCaption) -> set[str]:
    """Stems of the words, and pairs of neighbouring characters where words have no spaces."""
    content: set[str] = set()
    for text in unquoted_fields(caption).values():
        before = ""
        for unit in words(text):
            unspaced = UNSPACED.match(unit) is not None
            if unspaced and before:
                content.add(before + unit)
            elif not unspaced and unit not in STOP_WORDS:
                content.add(_stem(unit))
            before = unit if unspaced else ""
    return content


def _stem(word: str) -> str:
    """Without an English ending, if that leaves a stem, and of one doubled letter at its end a single one."""
    stem = _ENDING.sub("", word)
    if len(stem) < _STEM_LETTERS:
        return word
    return stem[:-1] if len(stem) > _STEM_LETTERS and stem[-1] == stem[-2] else stem
