"""What is sent along with a job: a recipe file, environment variables, a source tree.

A recipe goes as text in an environment variable, complete and checked, so that no machine of the cluster needs the file
and the job's working folder stays what it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.errors import UsageError
from schemas.recipe.loading import FROM_ENVIRONMENT

OPTION = "--recipe"
RECIPE = "REELMILL_RECIPE"
NAME = re.compile(r"[A-Za-z_]\w*")


def recipe_sent(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """A job's words with each recipe file that is here replaced by the variable that holds it, and the variables.

    A file that is not here is left as it is: it may be one that the cluster sees.

    Raises:
        UsageError: the file is no valid recipe; one line.
    """
    sent: dict[str, str] = {}
    changed = list(words)
    for place, word in enumerate(words):
        if word.startswith(f"{OPTION}=") and _is_file_here(value := word.removeprefix(f"{OPTION}=")):
            changed[place] = f"{OPTION}={_put(sent, value)}"
        elif place and words[place - 1] == OPTION and _is_file_here(word):
            changed[place] = _put(sent, word)
    return changed, sent


def _is_file_here(name: str) -> bool:
    return name.endswith(".toml") and Path(name).is_file()


def _put(sent: dict[str, str], file: str) -> str:
    from jobs.console.recipe_text import recipe_toml
    from schemas.recipe import load_recipe

    # In full: a file may build on another that is only here.
    sent[RECIPE] = recipe_toml(load_recipe(file))
    return FROM_ENVIRONMENT + RECIPE


def variables(pairs: Sequence[str], here: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables from `NAME=VALUE`, or from `NAME`, which takes the value that it has here.

    Raises:
        UsageError: not of this form, or not set here; a value is never shown.
    """
    found: dict[str, str] = {}
    for number, pair in enumerate(pairs, start=1):
        name, given, value = pair.partition("=")
        if not NAME.fullmatch(name):
            raise UsageError(f"--env, number {number}: must be NAME=VALUE, or NAME for the value that it has here")
        if not given and name not in here:
            raise UsageError(f"--env {name}: not set here; give it as {name}=VALUE")
        found[name] = value if given else here[name]
    return found


def source_tree(working_dir: str | None) -> dict[str, object]:
    """The part of a runtime environment that sends a source tree; nothing without one.

    Raises:
        UsageError: it is not there.
    """
    if not working_dir:
        return {}
    if "://" not in working_dir and not Path(working_dir).exists():
        raise UsageError(f"--working-dir {working_dir}: no such folder")
    return {"working_dir": working_dir}
