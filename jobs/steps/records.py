"""The record of a run: recipe, versions, funnel, seconds and bytes per stage."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
import time
from collections.abc import Mapping
from typing import Any

from pipeline.store.active_recipe import JUDGES_CLIPS, active_recipe
from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe, decode_recipe

RECORDED_PACKAGES = ("ray", "av", "decord2", "opencv-python-headless", "scenedetect", "torch", "transformers", "duckdb")


def new_run_id(job: str) -> str:
    """Sorts by time; unique among jobs started in the same second."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{job}-{secrets.token_hex(3)}"


def latest_recipe(dataset: Dataset) -> Recipe | None:
    """The recipe that the data set was curated or judged by last; None before the first time."""
    recipe = active_recipe(dataset.runs())
    return decode_recipe(recipe, origin="of the data set") if recipe else None


def last_run_broke_off(dataset: Dataset) -> bool:
    """Whether the last run that changes the tables was killed, so that what follows from them may be out of date."""
    states = [run["state"] for run in dataset.runs() if run["job"] in JUDGES_CLIPS]
    return bool(states) and states[-1] != "done"


def write_run(
    dataset: Dataset, run_id: str, job: str, recipe: Recipe, *, state: str, facts: Mapping[str, Any] | None = None
) -> None:
    """Write or replace `runs/RUN_ID.json`; `state` is 'running' until the job is done."""
    versions = {name: importlib.metadata.version(name) for name in (*RECORDED_PACKAGES, "reelmill")}
    record = {
        "run_id": run_id,
        "job": job,
        "state": state,
        "recipe": recipe.as_dict(),
        "versions": versions | {"python": platform.python_version()},
    }
    dataset.write_run(run_id, record | dict(facts or {}))
