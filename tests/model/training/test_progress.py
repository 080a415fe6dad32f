"""A run's plan is that of its recipe and release, and its place is not taken for one in another plan."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from model.packing.cost import pack_cost
from model.packing.plan import Plan
from model.training.checkpoints import Checkpoint, RunFolder
from model.training.progress import (
    FREE,
    Progress,
    curve_settings,
    plan_of,
    release_settings,
    require_same_curve,
    token_counts,
)
from schemas.recipe.train import ModelConfig, ObjectiveConfig, TaskMix, TextMix, TrainConfig
from tests.model.training.drawn import CONFIG, SHAPES, changed

NAMED = {f"clip-{i}": SHAPES[i % 3] for i in range(30)}


def planned(config: TrainConfig, release_hash: str = "") -> Plan:
    return plan_of(list(NAMED), token_counts(NAMED.values(), config.model), config, release_hash)


def first_step(release_hash: str = "", **settings: Any) -> list[tuple[str, ...]]:
    return [pack.ids for pack in next(planned(changed(**settings), release_hash).steps()).packs]


def test_the_plan_is_that_of_the_recipe():
    step = first_step()
    assert len(step) == CONFIG.packs_per_step
    tokens = {(4, 1, 4, 4): 4, (4, 3, 4, 6): 18, (4, 2, 6, 4): 12}
    assert all(40 < sum(tokens[NAMED[i]] for i in ids) <= CONFIG.tokens_per_pack for ids in step)
    with pytest.raises(ValueError, match="has 18 tokens, more than the 17"):
        first_step(tokens_per_pack=17)


def test_release_seed_and_epoch_make_the_key():
    keys = {
        planned(changed(seed=seed), release).key_of(epoch)
        for seed in (0, 1)
        for release in ("", "other")
        for epoch in (0, 1)
    }
    assert len(keys) == 8
    assert first_step() == first_step(steps=9, learning_rate=1.0)


@pytest.mark.parametrize("sizes", [(24, 2, 2.5, "cross"), (48, 1, 4.0, "in_context")])
def test_packs_cost_what_the_recipes_model_computes(sizes):
    width, depth, mlp_ratio, text = sizes
    model = ModelConfig(width=width, depth=depth, num_heads=2, mlp_ratio=mlp_ratio, text=text)
    plan = planned(changed(model=model))
    assert plan.costs.tolist() == [pack_cost([count], *sizes) for count in plan.counts]


def settings_of(config: TrainConfig, release_hash: str) -> dict[str, Any]:
    return curve_settings(config) | release_settings(release_hash, NAMED)


def saved(run_dir: Path, state: dict[str, Any]) -> Checkpoint:
    run = RunFolder(run_dir)
    run.save(3, {}, state, keep=1)
    (checkpoint,) = run.checkpoints()
    return checkpoint


def test_progress_comes_back_from_a_checkpoint(tmp_path):
    assert Progress.of(saved(tmp_path, {"step": 3, "epoch": 1, "cursor": 5, "more": 0})) == Progress(3, 1, 5)


@pytest.mark.parametrize(
    ("settings", "release_hash", "message"),
    [
        ({}, "later", "release_hash = later: .*step-000003 was trained with first"),
        ({"seed": 9}, "first", "seed = 9: .*step-000003 was trained with 0"),
        ({"tokens_per_pack": 50}, "first", "tokens_per_pack = 50: .* was trained with 48"),
        ({"packs_per_step": 3}, "first", "packs_per_step = 3: .* was trained with 2"),
        ({"learning_rate": 0.5}, "first", "learning_rate = 0.5: .* was trained with 0.001"),
        ({"tasks": TaskMix(text=0.7)}, "first", "tasks.text = 0.7: .* was trained with 0.5"),
        ({"text_mix": TextMix(short=0.7)}, "first", "text_mix.short = 0.7: .* was trained with 0.2"),
        ({"objective": ObjectiveConfig(weighting="sigmoid")}, "first", "objective.weighting = sigmoid: .* own"),
        ({"decay_share": 0.5}, "first", "decay_share = 0.5: .* was trained with 0.0"),
    ],
)
def test_a_run_with_another_curve_is_refused_by_name(tmp_path, settings, release_hash, message):
    checkpoint = saved(tmp_path, {"settings": settings_of(CONFIG, "first")})
    with pytest.raises(ValueError, match=message):
        require_same_curve(checkpoint, settings_of(changed(**settings), release_hash))
    require_same_curve(checkpoint, settings_of(changed(steps=9, num_workers=2, parallel="fsdp"), "first"))


def test_a_checkpoint_that_does_not_name_its_plan_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"seed = 0: .* was trained with None"):
        require_same_curve(saved(tmp_path, {"step": 3}), {"seed": 0})


def test_every_setting_is_of_the_curve_or_free():
    """A new one must be put into either; nested ones are named with their section."""
    of_curve = {name.partition(".")[0] for name in curve_settings(CONFIG)}
    assert of_curve | set(FREE) == {field.name for field in fields(TrainConfig)}
    assert not of_curve & set(FREE)


def test_the_number_of_steps_may_change_where_the_learning_rate_does_not_fall_towards_the_last():
    assert "steps" not in curve_settings(changed(steps=9))
    assert curve_settings(changed(steps=9, decay_share=0.1))["steps"] == 9


def test_samples_that_were_encoded_later_are_other_samples():
    first = release_settings("first", NAMED)
    assert release_settings("first", dict(NAMED)) == first
    assert release_settings("first", NAMED | {"clip-30": SHAPES[0]})["samples_hash"] != first["samples_hash"]
    assert release_settings("first", NAMED | {"clip-3": SHAPES[1]})["samples_hash"] != first["samples_hash"]
