"""Training: resumed equals uninterrupted, one process a folder, and the loss falls."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.diffusion.objectives import Objective
from model.diffusion.requests import Request
from model.diffusion.sampling import sample_latent
from model.training import checkpoints
from model.training.checkpoints import RunFolder
from model.training.exported import load_transformer
from model.training.loop import check_config
from model.training.parallel import ALONE, Worker
from model.training.progress import Progress
from model.training.samples import HeldSamples
from model.training.step import TrainState
from model.training.stops import OutOfMemory, TrainingDiverged
from schemas.recipe.train import ObjectiveConfig, RoutingConfig
from tests.model.training.drawn import CONFIG, STATISTICS, TEXT_DIM, changed, colour_samples, run_fit


def logged(run_dir: Path, *names: str) -> list[tuple]:
    names = names or ("step", "epoch", "loss", "val_loss", "tokens", "draws")
    return [tuple(line.get(name) for name in names) for line in RunFolder(run_dir).metrics()]


def saved_steps(run_dir: Path) -> list[int]:
    return [checkpoint.step for checkpoint in RunFolder(run_dir).checkpoints()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of six steps."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    run_fit(run_dir)
    return run_dir


@pytest.fixture
def a_copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


class Killed(Exception):
    pass


def kill_at(step: int) -> Callable[[dict], None]:
    def kill(metrics: dict) -> None:
        if metrics["step"] == step:
            raise Killed

    return kill


def test_a_run_validates_and_saves_when_the_recipe_says_and_at_its_ends(whole):
    validated = [step for step, loss in logged(whole, "step", "val_loss") if loss is not None]
    assert validated == [1, 4, 6]
    assert saved_steps(whole) == [4, 6]


def test_a_step_says_what_it_computed_and_waited_for(whole):
    lines = RunFolder(whole).metrics()
    for line in lines:
        assert line["seconds"] > 0
        assert line["load_seconds"] >= 0
        assert "mfu" not in line  # of a CPU no peak is known
    assert [line["save_seconds"] > 0 for line in lines] == [False, True, True, True, True, True]


def test_memory_that_does_not_suffice_shows_before_the_first_step(tmp_path, monkeypatch):
    seen = []

    def answer(self, pack, route=None):
        seen.append(len(pack.tokens_NP))
        raise torch.OutOfMemoryError

    monkeypatch.setattr(TrainState, "_answer", answer)
    with pytest.raises(OutOfMemory, match=f"out of memory with a pack of {CONFIG.tokens_per_pack} tokens") as raised:
        run_fit(tmp_path)
    assert "train.activation_checkpointing" in str(raised.value)
    assert seen == [CONFIG.tokens_per_pack]
    assert not RunFolder(tmp_path).metrics_path.exists() or RunFolder(tmp_path).metrics() == []
    assert RunFolder(tmp_path).checkpoints() == []


def test_what_is_computed_ahead_is_not_learnt_from():
    state = TrainState(HeldSamples(colour_samples()), CONFIG, STATISTICS, TEXT_DIM, ALONE)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    state.rehearse(state.batch(state.costliest()))
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    assert all(not parameter.grad.any() for parameter in state.model.parameters())


def test_resumed_equals_uninterrupted(whole, tmp_path):
    with pytest.raises(Killed):
        run_fit(tmp_path / "killed", on_step=kill_at(5))
    assert [line[0] for line in logged(tmp_path / "killed")] == [1, 2, 3, 4, 5]
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')  # a line cut short by the kill
    steps = []
    run_fit(tmp_path / "killed", on_step=lambda metrics: steps.append(metrics["step"]))
    assert steps == [5, 6]
    assert logged(tmp_path / "killed") == logged(whole)
    for name in ("model", "average", "optimizer"):
        one, other = (RunFolder(run).newest().tensors(name) for run in (whole, tmp_path / "killed"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("killed", [1, 2, 3, 5, 6])
def test_a_run_killed_anywhere_uses_the_packs_of_one_that_was_not(tmp_path, killed):
    """With four packs a step and six an epoch, every other step has packs of two epochs."""
    config = changed(steps=7, packs_per_step=4, checkpoint_every=1)
    run_fit(tmp_path / "whole", config)
    with pytest.raises(Killed):
        run_fit(tmp_path / "killed", config, on_step=kill_at(killed))
    run_fit(tmp_path / "killed", config)
    assert logged(tmp_path / "killed", "step", "samples", "loss") == logged(
        tmp_path / "whole", "step", "samples", "loss"
    )


def test_masks_leave_the_plan_and_lessen_the_tokens(whole, tmp_path):
    run_fit(tmp_path / "masked", changed(token_drop=0.5, routing=RoutingConfig(0.5, 0, 0)))
    masked, plain = (np.array(logged(run, "tokens")).flatten() for run in (tmp_path / "masked", whole))
    assert np.all(masked < 0.8 * plain)
    assert logged(tmp_path / "masked", "step", "samples") == logged(whole, "step", "samples")


@pytest.mark.parametrize(
    ("settings", "release_hash"),
    [
        ({"tokens_per_pack": 64}, ""),
        ({"packs_per_step": 4}, ""),
        ({"seed": 1}, ""),
        ({"token_drop": 0.5}, ""),
        ({}, "2"),
    ],
)
def test_a_run_does_not_go_on_in_another_plan(a_copy, settings, release_hash):
    before = logged(a_copy)
    (name,) = settings or {"release_hash": ""}
    with pytest.raises(ValueError, match=f"{name} = "):
        run_fit(a_copy, changed(steps=8, **settings), release_hash=release_hash)
    assert logged(a_copy) == before


def test_a_half_written_checkpoint_is_not_used(a_copy):
    folder = RunFolder(a_copy).checkpoints_path
    shutil.copytree(folder / "step-000004", folder / "step-000009.partial")
    assert RunFolder(a_copy).newest().step == 6


def test_a_finished_run_is_left_as_it_is_and_can_be_extended(a_copy):
    before = RunFolder(a_copy).metrics()
    assert run_fit(a_copy) == before[-1]
    assert RunFolder(a_copy).metrics() == before
    last = run_fit(a_copy, changed(steps=8, keep_checkpoints=1))
    assert RunFolder(a_copy).metrics()[:6] == before
    assert RunFolder(a_copy).metrics()[-1] == last
    assert last["step"] == 8
    assert saved_steps(a_copy) == [8]


def test_the_order_of_samples_is_that_of_the_release(whole, tmp_path):
    run_fit(tmp_path, changed(steps=1), release_hash="other")
    assert logged(tmp_path, "loss")[0] != logged(whole, "loss")[0]


def test_nobody_else_trains_in_the_folder_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "LOCK_WAIT_S", 0.0)

    def intrude(metrics: dict) -> None:
        with pytest.raises(ValueError, match="another process"), RunFolder(tmp_path).exclusive():
            pass

    run_fit(tmp_path, changed(steps=1), on_step=intrude)


def test_workers_wait_until_the_first_has_the_folder(tmp_path, monkeypatch):
    """The first message between workers is sent by the one who holds the lock, before anything is read."""
    monkeypatch.setattr(checkpoints, "LOCK_WAIT_S", 0.0)
    sizes, was_free = [], []

    def all_reduce(tensor: torch.Tensor) -> None:
        sizes.append(tensor.numel())
        try:
            with RunFolder(tmp_path).exclusive():
                was_free.append(True)
        except ValueError:
            was_free.append(False)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.distributed, "new_group", lambda backend: None)
    run_fit(tmp_path, changed(steps=1), worker=Worker(0, 2))
    assert sizes[0] == 1
    assert not was_free[0]


@pytest.mark.parametrize("masks", [{}, {"token_drop": 0.5}, {"routing": RoutingConfig(0.5, 0, 0)}])
def test_loss_falls_and_samples_follow_the_text(tmp_path, masks):
    settings = {"steps": 60, "tokens_per_pack": 512, "packs_per_step": 1, "learning_rate": 1e-2}
    run_fit(tmp_path, changed(**settings, **masks))
    lines = RunFolder(tmp_path).metrics()
    assert np.mean([line["loss"] for line in lines[-10:]]) < 0.3 * lines[0]["loss"]
    validated = [line["val_loss"] for line in lines if "val_loss" in line]
    assert validated[-1] < 0.3 * validated[0]
    transformer = load_transformer(tmp_path)
    for sample in colour_samples(2):
        text = torch.from_numpy(sample.texts_LE[0])
        latent = sample_latent(transformer, Request(text, (4, 2, 4, 4), 2.0), Objective(), num_steps=12, guidance=2.0)
        assert math.copysign(1.0, float(latent.mean())) == math.copysign(1.0, float(sample.latent_CTHW.mean() - 0.5))


def test_a_learned_variance_is_fitted_and_sampled_with(tmp_path):
    objective = ObjectiveConfig(path="ddpm_cosine", prediction="v", variance="learned")
    settings = {"steps": 60, "tokens_per_pack": 512, "packs_per_step": 1, "learning_rate": 1e-2}
    run_fit(tmp_path, changed(**settings, objective=objective))
    lines = RunFolder(tmp_path).metrics()
    assert np.mean([line["loss"] for line in lines[-10:]]) < 0.4 * lines[0]["loss"]
    transformer = load_transformer(tmp_path)
    assert transformer.config.answer_factor == 2
    assert transformer.final.weight[transformer.config.patch_values :].abs().max() > 1e-3  # which began as zero
    for sample in colour_samples(2):
        request = Request(torch.from_numpy(sample.texts_LE[0]), (4, 2, 4, 4), 2.0)
        settings = {"sampler": "ddpm", "num_steps": 12, "guidance": 1.0}
        latent = sample_latent(transformer, request, Objective.of(objective), **settings)
        assert math.copysign(1.0, float(latent.mean())) == math.copysign(1.0, float(sample.latent_CTHW.mean() - 0.5))


def test_a_run_starts_from_the_weights_that_it_is_given_and_goes_on_from_its_own(tmp_path):
    run_fit(tmp_path / "first", changed(steps=4, learning_rate=1e-2))
    weights = load_transformer(tmp_path / "first").state_dict()
    still = changed(steps=2, learning_rate=1e-30, checkpoint_every=2)
    run_fit(tmp_path / "second", still, init=weights)
    for kind in ("average", "model"):
        for name, value in load_transformer(tmp_path / "second", kind).state_dict().items():
            torch.testing.assert_close(value, weights[name], rtol=0, atol=1e-6)
    other = {name: torch.zeros_like(value) for name, value in weights.items()}
    run_fit(tmp_path / "second", changed(steps=4, learning_rate=1e-30, checkpoint_every=2), init=other)
    for name, value in load_transformer(tmp_path / "second").state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=1e-6)


SHAPES = [(4, 1, 4, 4), (4, 3, 4, 6)]


@pytest.mark.parametrize(
    ("shapes", "settings", "num_workers", "message"),
    [
        ([], {}, 1, "no encoded samples"),
        (SHAPES, {"packs_per_step": 4}, 3, "packs_per_step = 4: must be a multiple of 3 workers"),
        (SHAPES, {"tokens_per_pack": 17}, 1, "tokens_per_pack = 17: a sample has 18 tokens"),
        (SHAPES, {"routing": RoutingConfig(0.5, 0, 1)}, 1, "routing.last_block = 1: must be below 1"),
        ([(4, 1, 4, 5)], {}, 1, r"model.patch = \(1, 2, 2\): latent of"),
    ],
)
def test_settings_that_cannot_work_are_named(shapes, settings, num_workers, message):
    with pytest.raises(ValueError, match=message):
        check_config(shapes, changed(**settings), num_workers)


def test_settings_that_just_work_are_let_through():
    check_config(SHAPES, changed(packs_per_step=6, tokens_per_pack=18), 3)


def test_settings_are_checked_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="tokens_per_pack"):
        run_fit(tmp_path, changed(tokens_per_pack=4))
    assert not list(tmp_path.iterdir())
    assert CONFIG.tokens_per_pack == 48


def test_a_step_that_is_not_finite_leaves_a_good_checkpoint_and_is_taken_once_the_sample_is_mended(whole, tmp_path):
    samples = colour_samples()
    state = TrainState(HeldSamples(samples), CONFIG, STATISTICS, TEXT_DIM, ALONE)
    of_step_2 = list(state.steps_from(Progress()))[1][1][0].ids[0]
    spoiled = [replace(s, latent_CTHW=s.latent_CTHW * np.inf) if s.sample_id == of_step_2 else s for s in samples]
    with pytest.raises(TrainingDiverged, match=f"step 2: .*{of_step_2}"):
        run_fit(tmp_path, changed(checkpoint_every=1), samples=spoiled)
    assert [line[0] for line in logged(tmp_path)] == [1]
    assert saved_steps(tmp_path) == [1]
    run_fit(tmp_path, changed(checkpoint_every=1))
    assert logged(tmp_path) == logged(whole)


def test_a_run_goes_on_from_the_last_good_checkpoint(whole, a_copy):
    (shard,) = RunFolder(a_copy).folder_of(6).glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1])
    run_fit(a_copy)
    assert logged(a_copy) == logged(whole)
    assert saved_steps(a_copy) == [4, 6]
    for part in ("model", "average", "optimizer"):
        one, other = (RunFolder(run).newest().tensors(part) for run in (whole, a_copy))
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("count", [1, 3])
def test_a_release_smaller_than_a_step_is_trained_killed_and_resumed(tmp_path, count):
    """Of three clips one is held out; each step goes several times through the rest."""
    config, samples = changed(steps=4, packs_per_step=6, checkpoint_every=1), colour_samples(count)
    run_fit(tmp_path / "whole", config, samples=samples)
    for killed in (1, 2, 3):
        with pytest.raises(Killed):
            run_fit(tmp_path / "killed", config, samples=samples, on_step=kill_at(killed))
    run_fit(tmp_path / "killed", config, samples=samples)
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")
    assert logged(tmp_path / "whole", "step", "samples")[-1][1] >= 6


def test_draws_name_what_was_drawn(whole, tmp_path):
    draws = [line[0] for line in logged(whole, "draws")]
    assert len(set(draws)) == 6
    other = colour_samples()
    other[0].latent_CTHW[:] += 1.0
    run_fit(tmp_path, samples=other)
    changed_steps = [a != b for (a,), b in zip(logged(tmp_path, "draws"), draws, strict=True)]
    assert changed_steps.count(True) in (1, 2)  # a sample is in one step of an epoch
