"""Expands a short prompt into the kind of text that a model was trained on, and measures how close that gets.

Sora and DALL-E 3 do this, since a model trained on long descriptions responds best to long descriptions (Betker et al.
2023). A large language model is shown captions of the release as examples of the style. A text that fails its checks is
not used: the prompt stands as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from model.builtin import BUILTIN
from pipeline.caption.backends.catalogue import load_engine
from pipeline.caption.backends.smollm2 import SMOLLM2
from pipeline.caption.checks.expansion import reasons_against_expansion
from pipeline.caption.engine import Answer, Engine, Fault, Sampling
from pipeline.caption.prompts.asking import ask
from pipeline.caption.prompts.templates import PromptTemplate, load_prompt
from schemas.recipe import Recipe
from schemas.words import num_words, words

EXPAND_NAMES = ("prompt", "examples", "words")
"""What a template may have in braces."""
PROMPT = "expand"
PROMPT_OF = {BUILTIN: "expand-builtin", SMOLLM2: "expand-small"}
"""The template of a checkpoint where the recipe names none, and that of every other one."""
DEFAULT_WORDS = 60
"""The length to ask for where there are no captions to take it from."""


class ExpansionError(Exception):
    """The engine gave no answer; the message says why."""


@dataclass(frozen=True)
class Expansion:
    """What a model made of a prompt; `reasons` are why it is not used, empty if it is."""

    prompt: str
    answer: Answer
    reasons: Sequence[str] = ()

    @property
    def text(self) -> str:
        """The text to use: the prompt as it was where the answer is rejected."""
        return self.prompt if self.reasons else self.answer.text


@dataclass(frozen=True)
class Expander:
    """Expands prompts into the style of `captions`; none are needed by a model that takes no examples."""

    recipe: Recipe
    engine: Engine
    template: PromptTemplate
    captions: Sequence[str] = ()

    def expand(self, prompts: Sequence[str], seed: int = 0) -> list[Expansion]:
        """A description of each prompt, in order, with the reasons of the checks that it fails.

        Raises:
            ExpansionError: a prompt has no answer.
        """
        config = self.recipe.expand
        sampling = Sampling(config.max_new_tokens, config.temperature, seed)
        answers = ask(self.engine, self.template, [self._values(prompt) for prompt in prompts], sampling)
        return [self._judged(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]

    def _values(self, prompt: str) -> dict[str, str]:
        examples = nearest_captions(prompt, self.captions, self.recipe.expand.num_examples)
        length = round(mean(num_words(words(text)) for text in self.captions)) if self.captions else DEFAULT_WORDS
        return {"prompt": prompt, "examples": "\n".join(examples), "words": str(length)}

    def _judged(self, prompt: str, answer: Answer | Fault) -> Expansion:
        if isinstance(answer, Fault):
            raise ExpansionError(f"{prompt!r}: {answer.reason}")
        return Expansion(prompt, answer, reasons_against_expansion(prompt, answer, self.template, self.recipe))


def load_expander(recipe: Recipe, captions: Sequence[str] = ()) -> Expander:
    """Load the engine and the template that the recipe names.

    Raises:
        ValueError: no such backend, checkpoint or prompt.
    """
    config = recipe.expand
    template = load_prompt(config.prompt or PROMPT_OF.get(config.checkpoint, PROMPT), EXPAND_NAMES)
    return Expander(recipe, load_engine(config), template, captions)


def nearest_captions(prompt: str, captions: Sequence[str], count: int) -> list[str]:
    """The captions that share most words with a prompt; among equals the shorter first."""
    asked = set(words(prompt))
    shared = sorted(set(captions), key=lambda text: (-len(asked.intersection(words(text))), len(text), text))
    return shared[:count]


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
