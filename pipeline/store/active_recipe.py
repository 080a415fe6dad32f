"""The active recipe of a data set: the one that its clips were judged by last, from the records of its runs."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe, decode_recipe

JUDGES_CLIPS = ("curate", "rejudge")
JUDGES_CAPTIONS = (*JUDGES_CLIPS, "recaption")
"""Commands that judge, and so set the active recipe or its caption rules."""


def active_recipe(dataset: Dataset) -> Recipe | None:
    """The recipe that clips were judged by last, with the rules that captions were; None before the first run."""
    runs = dataset.runs()
    recipes = [run["recipe"] for run in runs if run["job"] in JUDGES_CLIPS]
    if not recipes:
        return None
    of_captions = [run["recipe"] for run in runs if run["job"] in JUDGES_CAPTIONS]
    rules = {"caption_rules": of_captions[-1].get("caption_rules", {})}
    return decode_recipe(recipes[-1] | rules, origin="of the data set")


def require_active_recipe(dataset: Dataset) -> Recipe:
    """The active recipe.

    Raises:
        UsageError: there has been no run.
    """
    recipe = active_recipe(dataset)
    if recipe is None:
        raise UsageError(f"{dataset.location}: has not been curated yet")
    return recipe


def last_run_broke_off(dataset: Dataset, jobs: Collection[str] = JUDGES_CLIPS) -> bool:
    """Whether the last run of some jobs was killed or failed. Of those that judge clips, groups and decisions may then
    be out of date; of those that judge anything, `manifest/` may be."""
    states = [run["state"] for run in dataset.runs() if run["job"] in jobs]
    return bool(states) and states[-1] != "done"
