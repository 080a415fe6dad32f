"""Parts of the prompt, or of the chat format, that leaked into a caption."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from schemas.structured_caption import FIELDS
from schemas.words import num_words, words

MARK_WORDS = 20.0
"""The value for a mark of the format: far above any run of words that a description shares with a prompt by chance."""
MOST_UNITS = 40
"""Longest run that is looked for, in words or characters."""
_FILLED_IN = re.compile(r"\{\w*\}")
_TOKEN = re.compile(r"<\|\w+\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:image|video)>|</?think>")
_FORM = re.compile(
    r"```|^\s*(?:assistant|user|system|human|ai|answer|response|caption|output)\s*:"
    rf"|[\"'“*]+(?:{'|'.join(FIELDS)})[\"'”*]+\s*:|^\s*(?:{'|'.join(FIELDS)})\s*:|^\s*\{{\s*\"",
    re.IGNORECASE | re.MULTILINE,
)


def prompt_leak(fields: Iterable[str], on_screen_text: str, prompt: str) -> float:
    """Words of the longest run that a field shares with the prompt, or MARK_WORDS if a field has marks of the format.

    Args:
        fields: the captioner's own words.
        on_screen_text: may quote a chat or a program, but not contain a model's control tokens.
        prompt: the template before its `{names}` are filled in, so that a caption may repeat hints.
    """
    fields = list(fields)
    if any(_TOKEN.search(text) for text in (*fields, on_screen_text)) or any(_FORM.search(text) for text in fields):
        return MARK_WORDS
    instructions = _instructions(prompt)
    return max((_longest_run(words(field), instructions) for field in fields), default=0.0)


@lru_cache(maxsize=16)
def _instructions(prompt: str) -> str:
    """The words of the prompt, with a bar for each name that is filled in."""
    return " | ".join(f" {' '.join(words(part))} " for part in _FILLED_IN.split(prompt))


def _longest_run(units: Sequence[str], instructions: str) -> float:
    longest, run = 0, units[:0]
    for start in range(len(units)):
        while (
            longest < MOST_UNITS
            and start + longest < len(units)
            and f" {' '.join(units[start : start + longest + 1])} " in instructions
        ):
            longest += 1
            run = units[start : start + longest]
    return num_words(run) if longest else 0.0
