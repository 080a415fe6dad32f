"""Asks an engine about texts by a template, and takes from an answer the sentences that the template wants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.caption.engine import Answer, Engine, Fault, Request, Sampling
from pipeline.caption.prompts.templates import PromptTemplate

SENTENCE_TOKENS = 40
"""Room for each sentence that a template wants: twice what one of a caption takes. What comes after is not read."""
_SENTENCE = re.compile(r".*?(?:[.!?…]+[\"'”’»)]*(?=\s|$)|[。！？]+[”』」]*)", re.DOTALL)


def ask(
    engine: Engine, template: PromptTemplate, asked: Sequence[Mapping[str, str]], sampling: Sampling
) -> list[Answer | Fault]:
    """An answer or a fault for each, in order.

    Args:
        asked: values of the names in the template.
    """
    requests = [Request(template.fill(**values), template.system, turns=template.turns) for values in asked]
    if not template.sentences:
        return engine.answer(requests, sampling)
    most = min(sampling.max_new_tokens, SENTENCE_TOKENS * template.sentences)
    answers = engine.answer(requests, replace(sampling, max_new_tokens=most))
    return [_shortened(answer, template.sentences) if isinstance(answer, Answer) else answer for answer in answers]


def _shortened(answer: Answer, count: int) -> Answer:
    """The first sentences of an answer; one without a whole sentence is left as it is."""
    text = first_sentences(answer.text, count)
    return replace(answer, text=text, cut=False) if text else answer


def first_sentences(text: str, count: int) -> str:
    """The first whole sentences, on one line, `count` at most; empty if no sentence ends."""
    whole = [match.group() for _, match in zip(range(count), _SENTENCE.finditer(text), strict=False)]
    return " ".join("".join(whole).split())
