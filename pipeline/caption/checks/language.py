"""Whether a caption is in the language asked for: py3langid on the whole text, scripts on each field.

py3langid 0.4 is Lui and Baldwin's langid.py (2012) with a model of 139 languages; its confidences are taken among the
large written languages, since captions are more often mistaken for a small related language than written in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.caption.checks.scripts import SCRIPTS
from schemas.words import num_words, words

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_IN_SCRIPT = {code: re.compile(f"[{letters}]") for code, letters in SCRIPTS.items()}
LEAST_SHARE = 0.5
"""Share of letters that must be of the language's script; names and terms of others are no fault."""
LEAST_WORDS = 5
"""Text with fewer words is judged by its script alone: names and loan words are many in it."""


def wrong_language(fields: Iterable[str], language: str) -> float | None:
    """1 less the confidence in the language asked for; 1 if most of it, or of a field of 5 words or more, is in another
    script; 0 for less than 5 words in the right one. None for an empty text, or a language that nothing is known of.

    Args:
        language: ISO 639-1 code.
    """
    sizes = {field: num_words(words(field)) for field in fields if any(map(str.isalpha, field))}
    identifier = _identifier()
    total_words = sum(sizes.values())
    if not total_words or (language not in SCRIPTS and language not in identifier.labels):
        return None
    text = " ".join(sizes)
    judged = (text, *(field for field, size in sizes.items() if size >= LEAST_WORDS))
    if language in SCRIPTS and any(_share_in_script(part, language) < LEAST_SHARE for part in judged):
        return 1.0
    return 0.0 if total_words < LEAST_WORDS else 1 - _confidence(identifier, text, language)


def _share_in_script(text: str, language: str) -> float:
    letters = sum(map(str.isalpha, text))
    own = sum(map(str.isalpha, _IN_SCRIPT[language].findall(text)))
    return own / letters if letters else 1.0


def _confidence(identifier: LanguageIdentifier, text: str, language: str) -> float:
    ranked = dict(identifier.rank(text))
    asked = ranked.get(language, 0.0)
    others = sum(ranked[code] for code in SCRIPTS if code != language and code in ranked)
    return asked / (asked + others) if asked > 0 else 0.0


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
