"""Loops and copied fields: words in n-grams that occurred before.

The share is that of words covered, no word twice (Gopher's filters, Rae et al. 2021, arXiv:2112.11446, table A1, count
characters of duplicate n-grams so), and n is that of seq-rep-4 (Welleck et al. 2020, arXiv:1908.04319). The first
occurrence does not count, so that a field copied once counts in one place. The worst field decides: a copy of a short
field, or a loop in one, is a fault however long the others are.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.words import UNSPACED_PER_WORD, is_unspaced, words

N = 4
LEAST_NGRAMS = 4
"""A field with fewer n-grams is too short to be judged by itself: "bright light" may well occur twice."""


def repetition_frac(fields: Iterable[str]) -> float:
    """Largest share of words in n-grams that occurred before: of all fields, or of one with LEAST_NGRAMS or more."""
    units = [words(text) for text in fields]
    n = N * UNSPACED_PER_WORD if is_unspaced([unit for field in units for unit in field]) else N
    seen: set[tuple[str, ...]] = set()
    repeated = [_num_repeated(field, n, seen) for field in units]
    num_units = sum(map(len, units))
    least = n + LEAST_NGRAMS - 1
    shares = [count / len(field) for count, field in zip(repeated, units, strict=True) if len(field) >= least]
    return max([sum(repeated) / max(num_units, 1), *shares])


def _num_repeated(units: tuple[str, ...], n: int, seen: set[tuple[str, ...]]) -> int:
    """How many units are in n-grams of `seen`; adds the n-grams of these units to it."""
    count = covered_to = 0
    for start in range(len(units) - n + 1):
        ngram = units[start : start + n]
        if ngram in seen:
            count += start + n - max(start, covered_to)
            covered_to = start + n
        seen.add(ngram)
    return count
