"""What help and `recipe show` say of every key of a recipe, and which key an error line proposes."""

from __future__ import annotations

from dataclasses import MISSING

import pytest
from pydantic import PositiveInt

from schemas.recipe import RecipeError, load_recipe
from schemas.recipe.keys import Key, in_words, recipe_keys, recipe_sections
from schemas.strict import Fraction

KEYS = {key.path: key for key in recipe_keys()}


@pytest.mark.parametrize("key", recipe_keys(), ids=lambda key: key.path)
def test_every_key_says_what_it_means(key: Key) -> None:
    assert len(key.meaning.split()) > 1
    assert key.meaning.endswith(".")


def test_every_section_says_what_it_is_for() -> None:
    assert all(section.meaning.endswith(".") for section in recipe_sections())


def test_keys_have_their_types_defaults_and_the_text_below_the_field() -> None:
    assert KEYS["train.model.depth"] == Key("train.model.depth", "integer > 0", 6, "Transformer blocks.")
    assert KEYS["rules.NAME.min"].type == "number"
    assert KEYS["rules.NAME.column"].default is MISSING
    assert KEYS["caption.engine_options"].default == {}


def test_what_a_section_inherits_is_described_and_what_it_declares_anew_described_anew() -> None:
    assert KEYS["caption.timeout_s"].meaning == KEYS["expand.timeout_s"].meaning
    assert "coca" in KEYS["caption.backend"].meaning
    assert "coca" not in KEYS["expand.backend"].meaning


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (PositiveInt, "integer > 0"),
        (Fraction, "number >= 0 and <= 1"),
        (float | None, "number"),
        (tuple[str, ...], "list of text"),
        (tuple[PositiveInt, PositiveInt], "list of 2 x integer > 0"),
        (bool, "true | false"),
    ],
)
def test_types_are_told_in_words(hint: object, words: str) -> None:
    assert in_words(hint) == words


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("rules.min_motoin.min=1", "unknown key rules.min_motoin.min; did you mean rules.min_motion.min?"),
        ("rules.min_motion.mim=1", "unknown key rules.min_motion.mim; did you mean rules.min_motion.min?"),
        ("train.stepz=1", "unknown key train.stepz; did you mean train.steps?"),
        ("train.width=64", "unknown key train.width; did you mean train.model.width?"),
        ("spilt.max_clip_s=1", "unknown key spilt; did you mean split?"),
        ("frames.a.b=3", "unknown key frames.a"),
        ("frames.num_frames.b=3", "frames.num_frames = {'b': 3}: must be a valid integer"),
        ("rules.new.min=1", "rules.new.column is missing"),
        ("rules.min_motion.column=motion_px", "no column 'motion_px'; did you mean motion_px_s?"),
        ("duplicates.keep=longst", "must be 'largest', 'longest' or 'sharpest'; did you mean longest?"),
        ("duplicates.keep=x", "= 'x': must be 'largest', 'longest' or 'sharpest'"),
    ],
)
def test_an_error_ends_with_the_nearest_valid_name(setting: str, line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("default", [setting])
    assert str(caught.value).endswith(line)


@pytest.mark.parametrize(("name", "hint"), [("demmo", "did you mean demo?"), ("x", "are default, demo, qwen2.5-vl-7b")])
def test_an_unknown_recipe_is_told_with_those_there_are(name: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=f"recipe {name}: no recipe of this name.*{hint}"):
        load_recipe(name)
