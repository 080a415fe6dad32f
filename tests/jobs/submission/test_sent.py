"""What is sent along: recipe files that are here, in full, and variables whose values are shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.submission.sent import RECIPE, recipe_sent, source_tree, variables
from schemas.errors import UsageError
from schemas.recipe import load_recipe

CURATE = ["curate", "s3://bucket/raw", "--out", "s3://bucket/dataset"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `mine.toml`, which builds on `base.toml`, and `wrong.toml`."""
    monkeypatch.chdir(tmp_path)
    Path("base.toml").write_text('name = "base"\n[limits]\nmemory_mib = 777\n')
    Path("mine.toml").write_text('base = "base.toml"\nname = "mine"\n[rules]\nstill = false\n')
    Path("wrong.toml").write_text("[spilt]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (["--recipe", "mine.toml"], ["--recipe", f"env:{RECIPE}"]),
        (["--recipe=mine.toml", "--json"], [f"--recipe=env:{RECIPE}", "--json"]),
    ],
)
def test_a_recipe_file_is_sent_in_full(
    here: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], becomes: list[str]
) -> None:
    recipe = load_recipe("mine.toml")
    words, sent = recipe_sent(CURATE + given)
    assert words == CURATE + becomes
    monkeypatch.setenv(RECIPE, sent[RECIPE])
    for name in ("mine.toml", "base.toml"):
        (here / name).unlink()
    assert load_recipe(f"env:{RECIPE}") == recipe
    assert recipe.limits.memory_mib == 777


@pytest.mark.parametrize("given", [["--recipe", "default"], ["--recipe", "/data/of_the_cluster.toml"], ["mine.toml"]])
def test_a_recipe_of_the_cluster_is_left_as_it_is(here: Path, given: list[str]) -> None:
    assert recipe_sent(CURATE + given) == (CURATE + given, {})


def test_a_wrong_recipe_is_not_sent(here: Path) -> None:
    with pytest.raises(UsageError, match=r"wrong\.toml: unknown key spilt; did you mean split\?"):
        recipe_sent([*CURATE, "--recipe", "wrong.toml"])


def test_variables_have_a_value_or_take_the_one_they_have_here() -> None:
    given = ["A=1", "KEY", "EMPTY=", "URL=http://x?a=b"]
    assert variables(given, {"KEY": "k", "A": "2"}) == {"A": "1", "KEY": "k", "EMPTY": "", "URL": "http://x?a=b"}


@pytest.mark.parametrize(
    ("pair", "line"), [("=secret", "number 2: must be"), ("a b=secret", "number 2: must be"), ("KEY", "KEY: not set")]
)
def test_a_wrong_variable_is_refused_and_no_value_shown(pair: str, line: str) -> None:
    with pytest.raises(UsageError, match=line) as refused:
        variables(["A=secret", pair], {})
    assert "secret" not in str(refused.value)


def test_a_source_tree_is_there_or_a_uri(tmp_path: Path) -> None:
    assert source_tree(None) == {}
    assert source_tree(str(tmp_path)) == {"working_dir": str(tmp_path)}
    assert source_tree("s3://bucket/tree.zip") == {"working_dir": "s3://bucket/tree.zip"}
    with pytest.raises(UsageError, match="--working-dir nosuch: no such folder"):
        source_tree("nosuch")
