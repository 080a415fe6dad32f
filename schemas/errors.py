"""Errors that are told in one line, without a traceback; the command line exits with 2 or 1."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """Wrong usage or configuration, found before any work starts. The line names file, key or value; exit status 2."""


class JobError(RuntimeError):
    """A job cannot be done for a reason outside its usage. The line says what failed; exit status 1."""


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """How an error line ends where one of `names` is like the unknown `word`; else empty."""
    nearest = get_close_matches(word, list(names), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
