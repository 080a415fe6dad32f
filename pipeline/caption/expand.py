"""Expands a short prompt into the kind of text that a model was trained on, and measures how close that gets.

Sora and DALL-E 3 do this, since a model trained on long descriptions responds best to long descriptions (Betker et al.
2023). A large language model is shown captions of the release as examples of the style.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from pipeline.caption.backends.catalogue import load_engine
from pipeline.caption.engine import Answer, Engine, Request, Sampling
from pipeline.caption.prompts.templates import PromptTemplate, load_prompt
from schemas.recipe.expand import ExpandConfig
from schemas.words import num_words, words

EXPAND_NAMES = ("prompt", "examples", "words")
"""What a template may have in braces."""
DEFAULT_WORDS = 60
"""The length to ask for where there are no captions to take it from."""


class ExpansionError(Exception):
    """The engine gave no complete answer; the message says why."""


@dataclass(frozen=True)
class Expander:
    """Expands prompts into the style of `captions`; none are needed by a model that takes no examples."""

    config: ExpandConfig
    engine: Engine
    template: PromptTemplate
    captions: Sequence[str] = ()

    def expand(self, prompts: Sequence[str], seed: int = 0) -> list[str]:
        """A description of each prompt, in order.

        Raises:
            ExpansionError: a prompt has no complete answer.
        """
        sampling = Sampling(self.config.max_new_tokens, self.config.temperature, seed)
        answers = self.engine.answer([self._request(prompt) for prompt in prompts], sampling)
        return [_text(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]

    def _request(self, prompt: str) -> Request:
        examples = nearest_captions(prompt, self.captions, self.config.num_examples)
        length = round(mean(num_words(words(text)) for text in self.captions)) if self.captions else DEFAULT_WORDS
        user = self.template.fill(prompt=prompt, examples="\n".join(examples), words=str(length))
        return Request(user, self.template.system)


def load_expander(config: ExpandConfig, captions: Sequence[str] = ()) -> Expander:
    """Load the engine that the settings name.

    Raises:
        ValueError: no such backend, checkpoint or prompt.
    """
    template = load_prompt(config.prompt, EXPAND_NAMES)
    return Expander(config, load_engine(config), template, captions)


def nearest_captions(prompt: str, captions: Sequence[str], count: int) -> list[str]:
    """The captions that share most words with a prompt; among equals the shorter first."""
    asked = set(words(prompt))
    shared = sorted(set(captions), key=lambda text: (-len(asked.intersection(words(text))), len(text), text))
    return shared[:count]


def _text(prompt: str, answer: object) -> str:
    if not isinstance(answer, Answer):
        raise ExpansionError(f"{prompt!r}: {getattr(answer, 'reason', answer)}")
    if answer.cut or not answer.text:
        raise ExpansionError(f"{prompt!r}: the answer is {'cut off' if answer.cut else 'empty'}")
    return answer.text


@dataclass(frozen=True)
class StyleDistance:
    """How far texts are from references; each is 0 for equal texts.

    words_ratio_log2: absolute logarithm of the ratio of mean lengths in words; 1 is twice or half as long.
    sentences: absolute difference of the mean numbers of sentences.
    vocabulary: Jensen-Shannon divergence of the word frequencies in bits; 1 if they share no word.
    """

    words_ratio_log2: float
    sentences: float
    vocabulary: float


def style_distance(texts: Sequence[str], references: Sequence[str]) -> StyleDistance:
    """Compare two lists of texts, neither of them empty."""
    lengths = [mean(num_words(words(text)) for text in some) for some in (texts, references)]
    sentences = [mean(len(re.findall(r"[.!?](?:\s|$)", text)) for text in some) for some in (texts, references)]
    counts = [Counter(word for text in some for word in words(text)) for some in (texts, references)]
    return StyleDistance(
        abs(float(np.log2(max(lengths[0], 1e-9) / max(lengths[1], 1e-9)))),
        abs(sentences[0] - sentences[1]),
        _divergence(*counts),
    )


def _divergence(one: Counter[str], other: Counter[str]) -> float:
    seen = sorted(one | other)
    p, q = (np.array([counts[word] for word in seen], float) / max(counts.total(), 1) for counts in (one, other))
    middle = (p + q) / 2
    return float(sum(np.where(x > 0, x * np.log2(np.where(x > 0, x, 1) / middle), 0).sum() / 2 for x in (p, q)))
