"""`reelmill recipe`: what it prints is a recipe, and says what every key means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from jobs.console.recipe_text import recipe_toml
from jobs.steps.records import write_run
from pipeline.store.dataset import Dataset
from schemas import VIDEOS
from schemas.recipe import change_recipe, load_recipe, recipe_names
from schemas.recipe.keys import recipe_keys

OPTIONS = 'caption.engine_options={tensor_parallel_size=2, limits={image=8}, video_as="images"}'


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["recipe", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", recipe_names())
def test_what_is_shown_is_the_recipe_itself(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shown.toml").write_text(shown(capsys, "show", name))
    assert load_recipe(str(tmp_path / "shown.toml")) == load_recipe(name)


def test_tables_of_free_keys_rules_by_words_and_lists_are_written_too(tmp_path: Path) -> None:
    rule = "rules.shaky={column='camera_motion', reject=['shake', 'roll'], reason='shaky'}"
    recipe = load_recipe("default", [OPTIONS, rule, "duplicates.kinds=[]"])
    (tmp_path / "written.toml").write_text(recipe_toml(recipe))
    assert load_recipe(str(tmp_path / "written.toml")) == recipe


def test_every_key_is_shown_under_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(shown(capsys, "show").replace("\n# ", " ").split())
    assert all(key.meaning in words for key in recipe_keys())
    assert "# Transformer blocks. depth = 6 " in shown(capsys, "show").replace("\n", " ")


def test_settings_are_applied(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\ndepth = 9\n" in shown(capsys, "show", "demo", "--set", "train.model.depth=9")


def test_the_recipe_of_a_data_set_is_the_one_it_was_judged_by_last(
    tmp_path: Path, video_row: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    assert main(["recipe", "show", "--dataset", dataset.location]) == 2
    assert "has not been curated yet" in capsys.readouterr().err
    recipe = change_recipe(load_recipe("demo"), ["train.model.depth=3"])
    write_run(dataset, "20260101T000000Z-curate", "curate", recipe, state="done")
    text = shown(capsys, "show", "--dataset", dataset.location)
    assert 'name = "demo"' in text
    assert "\ndepth = 3\n" in text


def test_the_list_says_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "list").splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    assert "The synthetic corpus on two cores" in lines[1]


def test_a_name_and_a_data_set_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "show", "demo", "--dataset", "ds"]) == 2
    assert capsys.readouterr().err == "reelmill recipe: demo and --dataset ds: give one of them\n"
