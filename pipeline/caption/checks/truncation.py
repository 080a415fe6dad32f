"""Whether an answer is incomplete: cut at the limit of tokens, JSON that is not closed, an unfinished sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.structured_caption import ENDS

_OBJECT = re.compile(r"\{\s*(?:\"|\}|$)")
_FENCE = re.compile(r"\s*```\s*$")
_CLOSED = ENDS + "।॥؟۔｡"
_AFTER_END = "\"'”’»)]}」』）*_ "
_OPEN = re.compile(r"(?:[,;:\-–—(\[{،؛、，；：（「『]|(?<!\.)\.\.)$")
DANGLING: dict[str, str] = {
    "en": " the a an and or of its their with from into while because ",
    "es": " el la los las un una y o de del con por para que en su al ",
    "fr": " le la les un une et ou de du des dans avec en au aux que qui ",
    "de": " der die das eine einen einem einer und oder dem den im ",
    "it": " il lo la i gli le un una e o di del della con che nel nella ",
    "pt": " o a os as um uma e ou de do da com que em no na ",
    "ru": " и или в на с к из от для под над который ",
    "ar": " و في من على إلى عن التي الذي ",
    "hi": " और या एक के की का में से पर ",
}
DANGLING_CHARACTERS: dict[str, str] = {"zh": "与在把并", "ja": "をはがとにで"}
"""Frequent words, and endings, with which no sentence of the language ends."""


def truncated(answer: str, was_cut: bool, fields: Iterable[str], language: str) -> float:
    """1 if the answer is incomplete, else 0.

    Args:
        answer: as the model gave it; text without an object of JSON must end as a sentence does.
        was_cut: whether the engine says that the limit of tokens ended it.
        fields: of an answer that could be read; a field may lack a full stop, but not end with "and the".
    """
    if was_cut or any(_dangles(field, language) for field in fields):
        return 1.0
    answer = _FENCE.sub("", answer)
    start = _OBJECT.search(answer)
    if start:
        return float(not _closes(answer[start.start() :]))
    text = answer.strip().rstrip(_AFTER_END)
    return float(bool(text) and text[-1] not in _CLOSED)


def _dangles(field: str, language: str) -> bool:
    text = field.strip()
    if not text or _OPEN.search(text) or text[-1] in _CLOSED:
        return bool(text) and text[-1] not in _CLOSED
    last_word = text.lower().rsplit(None, 1)[-1]
    return text[-1] in DANGLING_CHARACTERS.get(language, "") or f" {last_word} " in DANGLING.get(language, "")


def _closes(text: str) -> bool:
    """Whether every brace and string opened in it is closed, whether or not it is valid JSON."""
    depth = 0
    for part in _TOKENS.finditer(text):
        token = part.group()
        depth += (token == "{") - (token == "}")
        if token == '"':
            return False
        if depth == 0:
            return True
    return False


_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|["{}]', re.DOTALL)
"""Whole strings, a quotation mark that opens one that never ends, and braces outside strings."""
