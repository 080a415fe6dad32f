"""Recipes: complete, strict, and every threshold with its source."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib import resources
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from schemas.errors import UsageError
from schemas.identity import digest
from schemas.recipe import RecipeError, decode_recipe, load_recipe
from schemas.recipe.encode import EncodeConfig
from schemas.rules import Rule, reasons_against
from schemas.tables.clips import CLIPS

BUILTIN = sorted(
    p.name.removesuffix(".toml") for p in (resources.files("schemas") / "recipes").iterdir() if p.name.endswith(".toml")
)


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_recipes_name_themselves_and_source_every_rule(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.rules
    for rule in (*recipe.rules.values(), *recipe.caption_rules.values()):
        assert rule.source
        assert rule.reason.isidentifier()


def test_the_resolved_recipe_round_trips_through_json() -> None:
    recipe = load_recipe("demo", ["train.model.patch=[1, 4, 4]", "split.max_clip_s=7"])
    assert decode_recipe(json.loads(json.dumps(recipe.as_dict()))) == recipe
    assert recipe.train.model.patch == (1, 4, 4)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("split.treshold=3", "unknown key split.treshold"),
        ("spit.threshold=3", "unknown key spit"),
        ("frames.a.b=3", "unknown key frames.a"),
        ('frames.num_frames="8"', "frames.num_frames = '8'"),
        ("frames.num_frames=eight", "frames.num_frames = 'eight'"),
        ("frames.num_frames=8.0", "frames.num_frames"),
        ("frames.num_frames=0", "frames.num_frames = 0"),
        ("measure.sample_hz=0", "measure.sample_hz"),
        ("train.text_drop=1.5", "train.text_drop"),
        ("train.use_gpu=1", "train.use_gpu"),
        ("train.token_drop=1.0", "train.token_drop = 1.0: must be less than 1"),
        ("train.routing.share=1.0", "train.routing.share = 1.0: must be less than 1"),
        ("train.routing.share=-0.1", "train.routing.share = -0.1: must be greater than or equal to 0"),
        ("train.routing.first_block=-1", "train.routing.first_block = -1"),
        ('train.model.conditions=["label"]', "train.model.conditions.0 = 'label'"),
        ("caption.backend=gpt", "caption.backend = 'gpt'"),
        ("rules.min_motion.column=motion", "rules.min_motion.column: no column 'motion'"),
        ("rules.min_motion.column=uri", "rules.min_motion.column: column 'uri' is no number"),
        ("safety.model=", "rules.max_nsfw: column 'nsfw' is measured by safety, which is off; rules.max_nsfw=false"),
        ("rules.min_motion.reject=['a']", "rules.min_motion.reject: column 'motion_px_s' is no text"),
        ("rules.min_motion.max=0.0", "rules.min_motion: min .* is above max"),
        ("rules.new.min=1", "rules.new.column"),
        ("frames", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("name.first=3", "name is a value, not a section"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(setting: str, named: str) -> None:
    with pytest.raises(RecipeError, match=named) as caught:
        load_recipe("default", [setting])
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_a_rule_without_bounds_rejects_nothing_and_is_refused() -> None:
    tree = {"rules": {"idle": {"column": "fps", "reason": "slow"}}}
    with pytest.raises(RecipeError, match="neither min nor max"):
        decode_recipe(tree)


def test_a_rule_that_is_false_is_dropped_and_its_measure_may_be_off(tmp_path: Path) -> None:
    recipe = load_recipe("default", ["safety.model=", "rules.max_nsfw=false"])
    assert "safety" not in recipe.clip_measures
    assert load_recipe("default").rules.keys() - recipe.rules.keys() == {"max_nsfw"}
    (tmp_path / "mine.toml").write_text('base = "default"\n[rules]\nmax_nsfw = false\n[safety]\nmodel = ""\n')
    assert load_recipe(str(tmp_path / "mine.toml")).rules == recipe.rules


def test_settings_reach_any_depth_and_read_toml_or_text() -> None:
    recipe = load_recipe(
        "default", ["rules.min_motion.min=1.5", "train.model.depth = 3", "caption.checkpoint=org/model-2b"]
    )
    assert recipe.rules["min_motion"].min == 1.5
    assert recipe.train.model.depth == 3
    assert recipe.caption.checkpoint == "org/model-2b"


def test_recipes_from_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[split]\nmin_shot_s = 1\n')
    assert load_recipe(str(path)).split.min_shot_s == 1.0
    path.write_text("name = [")
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        load_recipe(str(path))
    with pytest.raises(RecipeError, match="no recipe of this name"):
        load_recipe("nosuch")


def test_every_reason_applies_and_null_is_not_judged() -> None:
    row = dict.fromkeys(CLIPS.schema.names) | {"duration_s": 1.0, "brightness": 0.5, "motion_px_s": None}
    row["camera_motion"], row["border_kind"] = "shake", "none"
    rules = {
        "a": Rule(column="duration_s", min=2.0, reason="short"),
        "b": Rule(column="brightness", max=0.4, reason="bright"),
        "c": Rule(column="motion_px_s", min=1.0, reason="still"),
        "d": Rule(column="duration_s", min=1.5, reason="short"),
        "e": Rule(column="duration_s", min=1.0, max=1.0, reason="never"),
        "f": Rule(column="camera_motion", reject=("shake", "roll"), reason="shaky"),
        "g": Rule(column="border_kind", reject=("blurred",), reason="filled"),
    }
    assert reasons_against(rules, row) == ["short", "bright", "shaky"]


@pytest.mark.parametrize(
    ("rule", "values", "rejected"),
    [
        (Rule("x", "r", min=1.0), pa.array([0.9, 1.0, None, 5.0]), [True, False, False, False]),
        (Rule("x", "r", max=1), pa.array([0, 1, None, 5], pa.int32()), [False, False, False, True]),
        (Rule("x", "r", max=0), pa.array([True, False, None]), [True, False, False]),
        (Rule("x", "r", min=-1.0), pa.array([math.nan, 0.0, None, math.inf]), [True, False, False, False]),
        (Rule("x", "r", max=9.0), pa.array([math.nan, 0.0, None, math.inf]), [True, False, False, True]),
        (Rule("x", "r", reject=("a", "b")), pa.array(["a", "c", None, "b"]), [True, False, False, True]),
    ],
)
def test_a_rule_judges_a_column_as_it_judges_rows(rule: Rule, values: pa.Array, rejected: list[bool]) -> None:
    rows = pa.table({"x": values})  # noqa: F841 - named in the query
    found = duckdb.sql(f"select {rule.rejects_sql} from rows").fetchall()
    assert [is_rejected for (is_rejected,) in found] == rejected
    assert [rule.rejects({"x": value}) for value in values.to_pylist()] == rejected


def test_the_transform_fingerprint_covers_what_changes_pixels_and_nothing_else() -> None:
    base = EncodeConfig()
    changed = [
        dataclasses.replace(base, fps=9.0),
        dataclasses.replace(base, max_frames=9),
        dataclasses.replace(base, max_pixels_px=64 * 64),
        dataclasses.replace(base, max_tokens=1024),
    ]
    changed += [dataclasses.replace(base, codec_dtype=dtype) for dtype in ("bfloat16", "float16")]
    assert len({base.transform, *(config.transform for config in changed)}) == 7
    assert base.transform == digest("transform", 8.0, 0, 1280 * 720, 2048)  # float32 has no part in it
    assert dataclasses.replace(base, device="cpu", num_gpus=0.5, num_actors=3).transform == base.transform
    assert dataclasses.replace(base, autoencoder="other").transform == base.transform


def test_a_recipe_is_laid_over_its_base(tmp_path):
    path = tmp_path / "mine.toml"
    rule = '[rules.min_size]\ncolumn = "height"\nmin = 9\nreason = "x"\n'
    path.write_text(f'base = "demo"\nname = "mine"\n[train]\nsteps = 7\n{rule}')
    recipe, base = load_recipe(str(path)), load_recipe("demo")
    assert (recipe.name, recipe.train.steps, recipe.train.model) == ("mine", 7, base.train.model)
    assert recipe.rules["min_size"].column == "height"
    assert recipe.rules.keys() == base.rules.keys()


@pytest.mark.parametrize("base", ['"nosuch"', "3", '"{path}"'])
def test_a_base_must_be_another_recipe(tmp_path, base):
    path = tmp_path / "mine.toml"
    path.write_text("base = " + base.format(path=path))
    with pytest.raises(RecipeError, match=r"nosuch|3|mine\.toml"):
        load_recipe(str(path))
