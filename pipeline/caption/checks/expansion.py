"""Whether an expanded prompt may be used: the checks of captions that need no clip, and what it kept of the prompt."""

from __future__ import annotations

from pipeline.caption.checks.language import wrong_language
from pipeline.caption.checks.padding import padding_frac
from pipeline.caption.checks.prompt_leak import prompt_leak
from pipeline.caption.checks.refusal import refusal
from pipeline.caption.checks.repetition import repetition_frac
from pipeline.caption.checks.truncation import truncated
from pipeline.caption.engine import Answer
from pipeline.caption.prompts.templates import PromptTemplate
from schemas.recipe import Recipe
from schemas.rules import reasons_against
from schemas.words import STOP_WORDS, num_words, stem, words

NOT_KEPT = "prompt_not_kept"
"""The reason against a text that lacks too much of its prompt."""
NOTHING_ADDED = "nothing_added"
"""The reason against a text that has no words but its prompt's."""


def reasons_against_expansion(prompt: str, answer: Answer, template: PromptTemplate, recipe: Recipe) -> list[str]:
    """Why an answer may not stand for a prompt: reasons of `caption_rules`, NOT_KEPT, NOTHING_ADDED; empty if it may.

    Rules on what is known of a clip alone, such as its camera's motion, are passed over.
    """
    language = recipe.caption.language
    scores = {
        "num_words": num_words(words(answer.text)),
        "refusal": refusal([answer.text]),
        "repetition_frac": repetition_frac([answer.text]),
        "truncated": truncated(answer.text, answer.cut, [answer.text], language),
        "wrong_language": wrong_language([answer.text], language),
        "prompt_leak": prompt_leak([answer.text], "", template.shown),
        "padding_frac": padding_frac([answer.text], language),
    }
    rules = {name: rule for name, rule in recipe.caption_rules.items() if rule.column in scores}
    reasons = reasons_against(rules, scores)
    if kept_frac(prompt, answer.text, language) < recipe.expand.min_kept_frac:
        reasons.append(NOT_KEPT)
    if content_stems(answer.text, language) <= content_stems(prompt, language):
        reasons.append(NOTHING_ADDED)
    return reasons


def kept_frac(prompt: str, text: str, language: str = "en") -> float:
    """Share of a prompt's words that a text has, by their stems and without stop words; 1 of a prompt without any."""
    asked = content_stems(prompt, language)
    return len(asked & content_stems(text, language)) / len(asked) if asked else 1.0


def content_stems(text: str, language: str) -> set[str]:
    """The stems of the words that are no stop words of the language."""
    return {stem(word) for word in words(text) if word not in STOP_WORDS.get(language, ())}
