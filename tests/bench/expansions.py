"""Twenty everyday prompts, expanded by a language model, and what the checks of captions say of the texts.

    python -m tests.bench.expansions [--checkpoint smollm2-135m] [--prompt expand] [--backends transformers,vllm]

The texts of the backends are compared. `kept` is the share of a prompt's words, less stop words, that the text has.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

from rich.console import Console
from rich.table import Table

from pipeline.caption.checks.language import wrong_language
from pipeline.caption.checks.padding import padding_frac
from pipeline.caption.checks.prompt_leak import prompt_leak
from pipeline.caption.checks.refusal import refusal
from pipeline.caption.checks.repetition import repetition_frac
from pipeline.caption.checks.truncation import truncated
from pipeline.caption.engine import Answer, Fault, Sampling
from pipeline.caption.expand import Expander, load_expander
from schemas.recipe import load_recipe
from schemas.recipe.expand import ExpandConfig
from schemas.rules import reasons_against
from schemas.words import STOP_WORDS, num_words, stem, words

PROMPTS = (
    "a cat sleeping on a sofa",
    "waves on a beach at sunset",
    "a man riding a bicycle through a city",
    "snow falling in a forest",
    "a woman cooking pasta in a kitchen",
    "two children playing football in a park",
    "a train leaving a station",
    "a dog running after a ball",
    "rain on a window at night",
    "a chef cutting vegetables",
    "hot air balloons over a valley",
    "a boat on a calm lake",
    "a crowd dancing at a concert",
    "a bird building a nest",
    "coffee poured into a white cup",
    "an old man reading a newspaper on a bench",
    "cars on a motorway at night",
    "a girl blowing out birthday candles",
    "a horse galloping across a field",
    "a drone flying over mountains",
)
CAPTIONS = (
    "A brown horse stands in a green meadow. It lowers its head and eats grass. The camera is still. Soft daylight.",
    "A woman in a red coat walks along a street. Shops are behind her. The camera follows her. Grey, even light.",
    "A glass of water stands on a wooden table. A hand lifts it. The camera is still. Warm light of a lamp.",
    "Two sailing boats cross a bay. Hills are on the horizon. The camera pans left slowly. Bright sun, blue water.",
)
"""Written for this, in the style of a release's captions."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="smollm2-135m")
    parser.add_argument("--prompt", default="expand")
    parser.add_argument("--backends", default="transformers,vllm")
    parser.add_argument("--tokens", type=int, default=96)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console(highlight=False, width=200)
    said: dict[str, list[Answer | Fault]] = {}
    for backend in options.backends.split(","):
        start_s = time.perf_counter()
        expander = load_expander(
            ExpandConfig(backend=backend, checkpoint=options.checkpoint, prompt=options.prompt), CAPTIONS
        )
        loaded_s = time.perf_counter()
        requests = [expander._request(prompt) for prompt in PROMPTS]
        said[backend] = expander.engine.answer(requests, Sampling(options.tokens))
        console.print(table_of(backend, expander, said[backend]))
        console.print(
            f"{backend}: loaded in {loaded_s - start_s:.0f} s, {time.perf_counter() - loaded_s:.0f} s to answer"
        )
        console.print(f"equal to the first's: {sum(map(equal, said[backend], next(iter(said.values()))))}")
    return 0


def equal(one: Answer | Fault, other: Answer | Fault) -> bool:
    return one == other


def table_of(backend: str, expander: Expander, answers: list[Answer | Fault]) -> Table:
    """A row for each prompt; the last one counts the texts that no rule rejects."""
    rules = load_recipe("default").caption_rules
    table = Table("prompt", "text", "words", "kept", "rejected for", title=backend, show_lines=True)
    num_good, shares = 0, []
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        if isinstance(answer, Fault):
            table.add_row(prompt, answer.reason, "", "", "fault")
            continue
        scores = checked(answer, f"{expander.template.system}\n{expander.template.user}")
        reasons = reasons_against({name: rule for name, rule in rules.items() if rule.column in scores}, scores)
        asked = {stem(word) for word in words(prompt) if word not in STOP_WORDS["en"]}
        shares.append(len(asked & {stem(word) for word in words(answer.text)}) / len(asked))
        num_good += not reasons
        table.add_row(
            prompt, answer.text, str(round(scores["num_words"])), f"{shares[-1]:.2f}", ", ".join(reasons) or "-"
        )
    table.add_row("all", "", "", f"{sum(shares) / max(len(shares), 1):.2f}", f"{num_good} of {len(PROMPTS)} pass")
    return table


def checked(answer: Answer, asked: str) -> dict[str, float]:
    """The checks that a text without fields and without a clip can be given."""
    return {
        "num_words": num_words(words(answer.text)),
        "refusal": refusal([answer.text]),
        "repetition_frac": repetition_frac([answer.text]),
        "truncated": truncated(answer.text, answer.cut, [answer.text], "en"),
        "wrong_language": wrong_language([answer.text], "en"),
        "prompt_leak": prompt_leak([answer.text], "", asked),
        "padding_frac": padding_frac([answer.text], "en"),
    }


if __name__ == "__main__":
    sys.exit(main())
