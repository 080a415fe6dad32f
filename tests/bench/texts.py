"""Merging captions with titles, and expanding prompts: what is added or lost, and how similar the texts are to
captions.

    python -m tests.bench.texts [--clips 240] [--backend transformers] [--rewrite rewrite-builtin]
        [--rewrite-checkpoint smollm2-135m]

The caption stage, with the built-in model, captions held-out synthetic clips that have true and false titles. Then
short prompts for the same scenes are expanded and compared with the captions. With another checkpoint for merging the
texts are printed, and nothing is expanded.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import cv2
import torch
from rich.console import Console
from rich.table import Table

from pipeline.caption.expand import load_expander, style_distance
from pipeline.caption.stage import Captioning, Try
from pipeline.synthetic.texts import TITLE_KINDS, Title, short_prompt, title
from pipeline.synthetic.world import Scene, attributes, detailed_caption, draw_scene
from schemas.recipe import Recipe, change_recipe, load_recipe
from schemas.tables.captions import OK
from tests.bench.captions import HELD_OUT_SEED, batch_of

BATCH = 32
Row = Mapping[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--backend", default="transformers", choices=("vllm", "transformers"))
    parser.add_argument("--rewrite", default="rewrite-builtin")
    parser.add_argument("--rewrite-checkpoint", default="")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    settings = [f"caption.backend={options.backend}", f"caption.rewrite={options.rewrite}", "embedding.model=none"]
    settings.append(f"caption.rewrite_checkpoint={options.rewrite_checkpoint!r}")
    recipe = change_recipe(load_recipe("default"), settings)
    stage = Captioning(recipe, lambda stage, rows, seconds, num_bytes, counts: None)
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + options.clips)
    rng = random.Random(0)
    scenes = [draw_scene(seed) for seed in seeds]
    titles = [title(scene, TITLE_KINDS[i % len(TITLE_KINDS)], rng) for i, scene in enumerate(scenes)]
    tries: list[Try] = []
    for start in range(0, len(seeds), BATCH):
        some = slice(start, start + BATCH)
        batch = batch_of(seeds[some], [source_title.text for source_title in titles[some]])
        tries += stage.tries(batch)
    console = Console(highlight=False, width=120)
    console.print(rewritten(scenes, titles, tries))
    if options.rewrite_checkpoint:
        console.print(merged_texts(titles, tries))
        return 0
    captions = [made.row["detailed"] for made in tries if made.outcome == OK]
    console.print(expanded(scenes, captions, rng, recipe))
    return 0


def rewritten(scenes: Sequence[Scene], titles: Sequence[Title], tries: Sequence[Try]) -> Table:
    """Shares of the accepted captions, by kind of title."""
    by_kind: dict[str, list[dict[str, float | None]]] = defaultdict(list)
    for scene, source_title, made in zip(scenes, titles, tries, strict=True):
        if made.outcome == OK:
            by_kind[source_title.kind].append(_judged(scene, source_title, made.row))
    names = (
        "attributes before",
        "attributes after",
        "merged used",
        "words invented",
        "true words added",
        "false words added",
    )
    table = Table("title", "clips", *names)
    for kind, judged in by_kind.items():
        table.add_row(kind, str(len(judged)), *[_share(one[name] for one in judged) for name in names])
    return table


def merged_texts(titles: Sequence[Title], tries: Sequence[Try]) -> Table:
    """The texts of the accepted captions."""
    table = Table("title", "caption", "merged", "invented", show_lines=True)
    for source_title, made in zip(titles, tries, strict=True):
        row = made.row
        if made.outcome == OK:
            table.add_row(source_title.text, row["detailed"], row["merged"] or "-", ", ".join(row["invented"] or []))
    return table


def _judged(scene: Scene, source_title: Title, row: Row) -> dict[str, float | None]:
    """The columns of the table for one clip: shares, or 0 and 1; None where a column does not apply."""
    truth, text = attributes(detailed_caption(scene)), row["merged"] or row["detailed"]
    falsehoods = _falsehoods(source_title)
    return {
        "attributes before": _right(row["detailed"], truth),
        "attributes after": _right(text, truth),
        "merged used": float(bool(row["merged"])),
        "words invented": float(bool(row["invented"])),
        "true words added": float(source_title.adds.lower() in text.lower()) if source_title.adds else None,
        "false words added": float(any(words in text.lower() for words in falsehoods)) if falsehoods else None,
    }


def _falsehoods(source_title: Title) -> list[str]:
    """The words of a false title that would be wrong in the caption: `colour shape`, or a name."""
    words = source_title.text.lower().split()
    if source_title.kind == "false":
        return [" ".join(words[1:3])]
    if source_title.kind == "false name":
        return [words[0], " ".join(words[2:4])]
    return []


def _right(text: str, truth: Mapping[str, str]) -> float:
    stated = attributes(text)
    return sum(stated.get(name) == word for name, word in truth.items()) / len(truth)


def _share(values: Iterable[float | None]) -> str:
    applicable = [value for value in values if value is not None]
    return f"{sum(applicable) / len(applicable):.3f}" if applicable else "-"


def expanded(scenes: Sequence[Scene], captions: Sequence[str], rng: random.Random, recipe: Recipe) -> Table:
    """Short prompts and their expansions: attributes kept, and the distances of both from the captions."""
    prompts = [short_prompt(scene, rng) for scene in scenes]
    expansions = load_expander(recipe, captions).expand([prompt.text for prompt in prompts], 0)
    texts = [one.text for one in expansions]
    kept = [
        attributes(text).get(name) == word
        for text, prompt in zip(texts, prompts, strict=True)
        for name, word in prompt.asked.items()
    ]
    table = Table("texts", "kept", "log2 of length", "sentences", "vocabulary")
    for name, some, share in (
        ("short prompts", [prompt.text for prompt in prompts], "-"),
        ("expanded", texts, f"{sum(kept)} of {len(kept)}"),
    ):
        distances = asdict(style_distance(some, captions)).values()
        table.add_row(name, share, *[f"{distance:.3f}" for distance in distances])
    return table


if __name__ == "__main__":
    sys.exit(main())
