"""The recipe that a data set stands by, as the records of its runs tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

JUDGES_CLIPS = ("curate", "rejudge")
JUDGES_CAPTIONS = (*JUDGES_CLIPS, "recaption")
"""Jobs that judge, and so set the rules by which the tables stand."""


def active_recipe(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The recipe that clips were judged by last, with the rules that captions were; empty before the first run.

    Args:
        runs: records of runs, oldest first.
    """
    recipes = [run["recipe"] for run in runs if run["job"] in JUDGES_CLIPS]
    if not recipes:
        return {}
    of_captions = [run["recipe"] for run in runs if run["job"] in JUDGES_CAPTIONS]
    return recipes[-1] | {"caption_rules": of_captions[-1].get("caption_rules", {})}
