"""Agreement of two captions of a clip: the F1 of their content words.

Crude: synonyms count as different, and the order of words does not count. It tells a captioner that invents from one
that sees the same twice (SelfCheckGPT's idea, Manakul et al. 2023, arXiv:2303.08896), not which of them is right.
"""

from __future__ import annotations

from pipeline.caption.checks.fields import unquoted_fields
from schemas.structured_caption import StructuredCaption
from schemas.words import STOP_WORDS, stem, terms

_VAGUE = frozenset(["another", "down", "each", "other", "slightly", "two", "very"])
"""Words by which two good captions of one clip often differ."""
_WITHOUT_CONTENT = _VAGUE.union(*STOP_WORDS.values())


def sample_agreement(caption: StructuredCaption, other: StructuredCaption | None) -> float | None:
    """F1 of the two sets of content words, over the fields in the captioner's own words; None without any in one."""
    if other is None:
        return None
    ours, theirs = _content(caption), _content(other)
    if not ours or not theirs:
        return None
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


def _content(caption: StructuredCaption) -> set[str]:
    found = set().union(*map(terms, unquoted_fields(caption).values()))
    return {stem(term) for term in found - _WITHOUT_CONTENT}
