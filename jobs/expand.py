"""`reelmill expand`: short prompts in the words that a model was trained on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from jobs.cli import run_job
from jobs.console.options import NO_CHANGES, Json, RecipeOptions, ReleaseName
from jobs.console.refusal import one_line
from jobs.console.summary import print_json
from pipeline.caption.expand import Expansion, ExpansionError, load_expander, style_distance
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe


def expand(
    prompt: str,
    /,
    *,
    dataset: Annotated[str | None, Parameter(metavar="DATASET")] = None,
    release: ReleaseName | None = None,
    seed: int = 0,
    options: RecipeOptions = NO_CHANGES,
    json: Json = False,
) -> None:
    """Turn a short prompt into the kind of text that a model was trained on, with everything that was asked for.

    With a data set and a release the captions of that release are the example, and the distance of the text to them is
    printed. Without a data set the recipe `default` is used. If the text fails the checks of captions, or lacks too
    much of the prompt, the prompt is printed as it is, with the reasons on standard error.

    Args:
        prompt: What to show, as "a red circle moves left".
        dataset: Data set whose captions are the example.
        release: Name of a release of that data set.
        seed: Seed of what the prompt leaves open.
    """
    if bool(dataset) != bool(release):
        raise UsageError("--dataset and --release go together")
    tables = Dataset(dataset).require() if dataset else None
    captions = captions_of(tables, release) if tables and release else []
    expansion = expanded(prompt, options.over(tables), captions, seed)
    text = expansion.text
    summary: dict[str, Any] = {"prompt": prompt, "text": text}
    if expansion.reasons:
        summary |= {"rejected": expansion.answer.text, "reasons": list(expansion.reasons)}
    if captions:
        summary["distance before"] = asdict(style_distance([prompt], captions))
        summary["distance after"] = asdict(style_distance([text], captions))
    if json:
        print_json(summary)
        return
    print(text)
    tell_rejected(expansion)
    for when in ("before", "after"):
        if captions:
            told = ", ".join(f"{name} {value:.2f}" for name, value in summary[f"distance {when}"].items())
            print(f"distance to the release's captions {when}: {told}", file=sys.stderr)


def captions_of(dataset: Dataset, release: str) -> list[str]:
    """The detailed captions of a release."""
    return releases.read(dataset, release).clips["detailed"].to_pylist()


def tell_rejected(expansion: Expansion) -> None:
    """Say on standard error why a prompt stays as it is, if it does."""
    if expansion.reasons:
        print(f"the prompt is used as it is; {', '.join(expansion.reasons)}: {expansion.answer.text}", file=sys.stderr)


def expanded(prompt: str, recipe: Recipe, captions: Sequence[str], seed: int) -> Expansion:
    """One prompt, expanded.

    Raises:
        UsageError: the recipe names no model or prompt that there is, or the prompt has no answer.
    """
    try:
        return load_expander(recipe, captions).expand([prompt], seed)[0]
    except (ValueError, OSError, ExpansionError) as error:
        raise UsageError(f"expand: {one_line(error)}") from None


if __name__ == "__main__":
    sys.exit(run_job("expand"))
