"""Turn a short prompt into the kind of text that a model was trained on, with everything that was asked for.

With a data set and a release the captions of that release are the example, and it is said how near the text comes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument, add_recipe_arguments, recipe_from
from pipeline.caption.expand import ExpansionError, load_expander, style_distance
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe.expand import ExpandConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", help='as "a red circle moves left"')
    parser.add_argument("--dataset", metavar="DATASET", help="whose captions are the example")
    parser.add_argument("--release", metavar="NAME", help="of the data set")
    parser.add_argument("--seed", type=int, default=0, help="of what is left open (default: %(default)s)")
    add_recipe_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    if bool(args.dataset) != bool(args.release):
        raise UsageError("--dataset and --release go together")
    captions = captions_of(args.dataset, args.release) if args.dataset else []
    text = expanded(args.prompt, recipe_from(args).expand, captions, args.seed)
    summary: dict = {"prompt": args.prompt, "text": text}
    if captions:
        summary["distance before"] = asdict(style_distance([args.prompt], captions))
        summary["distance after"] = asdict(style_distance([text], captions))
    if args.json:
        json.dump(summary, sys.stdout)
        print()
        return 0
    print(text)
    for when in ("before", "after"):
        if captions:
            told = ", ".join(f"{name} {value:.2f}" for name, value in summary[f"distance {when}"].items())
            print(f"distance to the release's captions {when}: {told}", file=sys.stderr)
    return 0


def captions_of(dataset: str, release: str) -> list[str]:
    """The detailed captions of a release."""
    return releases.read(Dataset(dataset).require(), release).clips["detailed"].to_pylist()


def expanded(prompt: str, config: ExpandConfig, captions: Sequence[str], seed: int) -> str:
    """One prompt, expanded.

    Raises:
        UsageError: the settings name no model or prompt that there is, or the prompt has no whole answer.
    """
    try:
        return load_expander(config, captions).expand([prompt], seed)[0]
    except (ValueError, OSError, ExpansionError) as error:
        raise UsageError(f"expand: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    sys.exit(run_job("expand"))
