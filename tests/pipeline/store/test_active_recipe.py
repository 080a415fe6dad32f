"""The active recipe: of the newest run that judges clips, with the caption rules of the newest that judges captions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.store.active_recipe import JUDGES_CAPTIONS, active_recipe, last_run_broke_off, require_active_recipe
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.rules import Rule


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


def recipe_of(name: str) -> Recipe:
    """A recipe whose rules tell it from others."""
    return Recipe(
        name=name,
        rules={"still": Rule("motion_px_s", f"still_for_{name}", min=1.0)},
        caption_rules={"few": Rule("num_words", f"few_for_{name}", min=4)},
    )


def write_runs(dataset: Dataset, *runs: tuple[str, str, str]) -> None:
    """Records of runs, oldest first: job, name of the recipe, state."""
    for i, (job, name, state) in enumerate(runs):
        record: dict[str, Any] = {"job": job, "recipe": recipe_of(name).as_dict(), "state": state}
        dataset.write_run(f"2026010{i}T000000Z-{job}", record)


def test_before_the_first_run_there_is_none(dataset: Dataset) -> None:
    assert active_recipe(dataset) is None
    assert not last_run_broke_off(dataset)
    with pytest.raises(UsageError, match=r"ds: has not been curated yet"):
        require_active_recipe(dataset)


def test_it_is_that_of_the_newest_run_that_judges_clips(dataset: Dataset) -> None:
    write_runs(dataset, ("curate", "a", "done"), ("rejudge", "b", "done"), ("encode", "c", "done"))
    assert active_recipe(dataset) == recipe_of("b") == require_active_recipe(dataset)


def test_captioning_again_sets_the_caption_rules_and_nothing_else(dataset: Dataset) -> None:
    write_runs(dataset, ("curate", "a", "done"), ("recaption", "b", "done"), ("train", "c", "done"))
    recipe = require_active_recipe(dataset)
    assert (recipe.name, recipe.rules["still"].reason) == ("a", "still_for_a")
    assert recipe.caption_rules["few"].reason == "few_for_b"


def test_curating_after_captioning_sets_both(dataset: Dataset) -> None:
    write_runs(dataset, ("curate", "a", "done"), ("recaption", "b", "done"), ("curate", "c", "done"))
    assert active_recipe(dataset) == recipe_of("c")


def test_captioning_alone_makes_no_recipe_active(dataset: Dataset) -> None:
    write_runs(dataset, ("recaption", "a", "done"))
    assert active_recipe(dataset) is None


@pytest.mark.parametrize(
    ("runs", "broke_off"),
    [
        ([("curate", "a", "done")], False),
        ([("curate", "a", "running")], True),
        ([("curate", "a", "running"), ("rejudge", "a", "done")], False),
        ([("curate", "a", "done"), ("rejudge", "a", "running")], True),
        ([("curate", "a", "done"), ("recaption", "a", "running")], False),
    ],
)
def test_the_last_run_that_judges_clips_broke_off_unless_it_is_done(
    dataset: Dataset, runs: list[tuple[str, str, str]], broke_off: bool
) -> None:
    write_runs(dataset, *runs)
    assert last_run_broke_off(dataset) is broke_off


def test_captions_may_have_broken_off_too(dataset: Dataset) -> None:
    write_runs(dataset, ("curate", "a", "done"), ("recaption", "a", "running"), ("encode", "a", "done"))
    assert last_run_broke_off(dataset, JUDGES_CAPTIONS)
    assert not last_run_broke_off(dataset, ("encode",))
