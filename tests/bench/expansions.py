"""Everyday prompts, expanded by a language model, and what the checks say of the texts.

    python -m tests.bench.expansions [--checkpoint smollm2-135m] [--prompt expand-small] [--backends transformers,vllm]

The template `expand-small` was written by ten of the prompts; the twenty held-out ones were never used for that. `used`
counts the texts that take the prompt's place; `kept` is the share of a prompt's words, less stop words, that the text
has. The texts of the backends are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.caption.checks.expansion import kept_frac
from pipeline.caption.expand import Expansion, load_expander
from schemas.recipe import load_recipe
from schemas.words import num_words, words

HELD_OUT = (
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
TUNED = (
    "a fox walking through deep snow",
    "a waiter carrying a tray of glasses",
    "lightning over a city skyline",
    "a child flying a kite on a hill",
    "a tractor ploughing a field",
    "fish swimming in an aquarium",
    "a potter shaping a bowl",
    "a bus stopping at a crossing",
    "leaves falling from a tree in autumn",
    "a woman playing the violin on a stage",
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
    parser.add_argument("--prompt", default="", help="template; without it the one that suits the checkpoint")
    parser.add_argument("--backends", default="transformers,vllm")
    parser.add_argument("--tokens", type=int, default=96)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console(highlight=False, width=160)
    recipe = load_recipe("default")
    said: dict[str, list[Expansion]] = {}
    for backend in options.backends.split(","):
        chosen: dict[str, Any] = {"backend": backend, "checkpoint": options.checkpoint, "prompt": options.prompt}
        chosen["max_new_tokens"] = options.tokens
        start_s = time.perf_counter()
        expander = load_expander(replace(recipe, expand=replace(recipe.expand, **chosen)), CAPTIONS)
        loaded_s = time.perf_counter()
        said[backend] = expander.expand([*HELD_OUT, *TUNED])
        answered_s = time.perf_counter()
        console.print(table_of(f"{backend}, held-out", said[backend][: len(HELD_OUT)]))
        console.print(table_of(f"{backend}, tuned on", said[backend][len(HELD_OUT) :]))
        console.print(f"{backend}: loaded in {loaded_s - start_s:.0f} s, {answered_s - loaded_s:.0f} s to answer")
        first = next(iter(said.values()))
        num_equal = sum(one == other for one, other in zip(said[backend], first, strict=True))
        console.print(f"equal to the first's: {num_equal} of {len(first)}")
    return 0


def table_of(title: str, expansions: Sequence[Expansion]) -> Table:
    """A row for each prompt, and one for all."""
    table = Table("prompt", "text", "words", "kept", "rejected for", title=title, show_lines=True)
    kept = [kept_frac(one.prompt, one.answer.text) for one in expansions]
    for one, share in zip(expansions, kept, strict=True):
        length = round(num_words(words(one.answer.text)))
        table.add_row(one.prompt, one.answer.text, str(length), f"{share:.2f}", ", ".join(one.reasons) or "-")
    num_used = sum(not one.reasons for one in expansions)
    table.add_row("all", "", "", f"{mean(kept):.2f}", f"{num_used} of {len(expansions)} used")
    return table


if __name__ == "__main__":
    sys.exit(main())
