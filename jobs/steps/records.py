"""The record of a run: recipe, versions, funnel, and the statistics of each stage."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
import time
from collections.abc import Mapping
from typing import Any

from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe

RECORDED_PACKAGES = ("ray", "av", "opencv-python-headless", "scenedetect", "torch", "transformers", "duckdb")


def new_run_id(job: str) -> str:
    """Sorts by time; unique among jobs started in the same second."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{job}-{secrets.token_hex(3)}"


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
