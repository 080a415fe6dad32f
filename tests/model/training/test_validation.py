"""Validation: losses at fixed noise levels."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.diffusion.objectives import Objective
from model.packing.packs import CONDITIONS
from model.training.validation import Validation
from schemas.recipe.train import TaskMix
from tests.model.training.drawn import STATISTICS, TEXT_DIM, colour_samples

LEVELS = ["0.0625", "0.1875", "0.3125", "0.4375", "0.5625", "0.6875", "0.8125", "0.9375"]
SAMPLES = colour_samples(4)


def validation(samples=SAMPLES, capacity: int = 48) -> Validation:
    settings = {"patch": (1, 2, 2), "text_dim": TEXT_DIM, "capacity": capacity, "device": torch.device("cpu")}
    return Validation(samples, STATISTICS, Objective(), **settings)


def test_every_sample_is_seen_at_the_midpoints_of_eight_ranges_without_a_condition():
    packs = validation().packs
    documents = [
        (f"{timestep:.4f}", grid)
        for pack, *_ in packs
        for timestep, grid in zip(pack.timestep_B.tolist(), pack.table.extents, strict=True)
    ]
    grids = [(1, 2, 2), (3, 2, 3), (2, 3, 2), (1, 2, 2)]
    assert Counter(documents) == Counter((level, grid) for grid in grids for level in LEVELS)
    assert not any(pack.clean_N.any() for pack, *_ in packs)


def test_packs_are_filled_to_their_capacity():
    """A sample of 18 tokens at 8 levels: two fit into 36 to 53 tokens, one into 35."""
    assert [len(pack.timestep_B) for pack, *_ in validation(SAMPLES[1:2], 36).packs] == [2, 2, 2, 2]
    assert [len(pack.timestep_B) for pack, *_ in validation(SAMPLES[1:2], 53).packs] == [2, 2, 2, 2]
    assert [len(pack.timestep_B) for pack, *_ in validation(SAMPLES[1:2], 35).packs] == [1] * 8


def test_a_sample_of_one_token_is_packed_too():
    smallest = replace(SAMPLES[0], latent_CTHW=np.zeros((4, 1, 2, 2), np.float16))
    assert [len(pack.timestep_B) for pack, *_ in validation([smallest], 2).packs] == [2, 2, 2, 2]


def test_the_noise_of_a_sample_is_its_own_and_the_same_at_every_level():
    """Data and noise of a level are token minus timestep times velocity, and that plus velocity."""
    noises = []
    for sample in SAMPLES[:1] + SAMPLES[3:]:  # of one shape
        data = STATISTICS.whiten(sample.latent_CTHW).mean().item()
        for pack, targets, _ in validation([sample]).packs:
            timestep_N1 = pack.timestep_B.repeat_interleave(4)[:, None]
            data_NP = pack.tokens_NP - timestep_N1 * targets.answer_NP
            assert data_NP.mean().item() == pytest.approx(data, abs=1e-4)
            noises += (data_NP + targets.answer_NP).split(4)
    first, second = noises[:8], noises[8:]
    for noise in first:
        torch.testing.assert_close(noise, first[0])
    assert not torch.allclose(first[0], second[0])
    torch.testing.assert_close(torch.cat(noises).std(), torch.tensor(1.0), rtol=0, atol=0.2)


def test_the_text_is_always_the_first():
    texts = [np.zeros((length, TEXT_DIM), np.float32) for length in (5, 2)]
    packs = validation([replace(SAMPLES[0], texts_LE=texts)]).packs
    assert {length for pack, *_ in packs for length in pack.table.text_lengths} == {5}


def test_losses_are_means_over_all_over_a_level_and_over_a_shape():
    """A model that answers the velocity plus twice the timestep is wrong by four times its square."""
    fixed = validation()
    targets = {id(pack): targets.answer_NP for pack, targets, _ in fixed.packs}

    def answer_of(pack):
        lengths = torch.tensor(pack.table.lengths)
        wrong_by = torch.where(lengths == 18, 3.0, 2.0) * pack.timestep_B
        return targets[id(pack)] + wrong_by.repeat_interleave(lengths)[:, None]

    losses = fixed.losses(answer_of)
    squares = {level: float(level) ** 2 for level in LEVELS}
    mean = sum(squares.values()) / 8
    by_timestep, by_shape = losses["val_loss_by_timestep"], losses["val_loss_by_shape"]
    assert list(by_timestep) == LEVELS
    assert by_timestep == pytest.approx(
        {level: square * (9 + 3 * 4) / 4 for level, square in squares.items()}, rel=1e-4
    )
    assert by_shape == pytest.approx({"1x2x2": 4 * mean, "2x2x3": 4 * mean, "3x3x2": 9 * mean}, rel=1e-4)
    assert losses["val_loss"] == pytest.approx(mean * (9 + 3 * 4) / 4, rel=1e-4)


def test_the_bound_of_a_learned_variance_counts() -> None:
    objective = Objective("ddpm_cosine", "v", variance="learned")
    settings = {"patch": (1, 2, 2), "text_dim": TEXT_DIM, "capacity": 48, "device": torch.device("cpu")}
    fixed = Validation(SAMPLES, STATISTICS, objective, **settings)
    targets = {id(pack): targets.answer_NP for pack, targets, _ in fixed.packs}
    answered = {
        v: fixed.losses(lambda pack, v=v: torch.cat([targets[id(pack)], torch.full_like(pack.tokens_NP, v)], dim=1))
        for v in (-1.0, 9.0)
    }
    assert answered[-1.0]["val_loss"] == pytest.approx(0.0, abs=1e-5)  # a right prediction, and its least variance
    assert answered[9.0]["val_loss"] > 1e-3


def test_other_tasks_are_seen_at_one_level_each_with_what_they_give():
    tasks = TaskMix(text=0.5, first_frame=0.2, prefix=0.0, region=0.3)
    settings = {"patch": (1, 2, 2), "text_dim": TEXT_DIM, "capacity": 48, "device": torch.device("cpu")}
    fixed = Validation(SAMPLES, STATISTICS, Objective(), **settings, tasks=tasks)
    seen: dict[str, list[float]] = {}
    for pack, _, task in fixed.packs:
        seen.setdefault(task, []).extend(pack.timestep_B.tolist())
    assert list(seen) == ["text", "first_frame", "region"]
    assert len(seen["text"]) == 8 * len(SAMPLES)
    assert sorted(f"{level:.4f}" for level in seen["region"]) == LEVELS[: len(SAMPLES)]
    tables = [pack.table for pack, _, task in fixed.packs if task == "first_frame"]
    given = np.concatenate([table.place_N3[table.clean_N, 0] for table in tables])
    assert len(given) == 6 + 6  # of the two clips; an image has its first frame to make
    assert not given.any()
    by_task = fixed.losses(lambda pack: torch.zeros_like(pack.tokens_NP))["val_loss_by_task"]
    assert list(by_task) == list(seen)
    only_text = validation().losses(lambda pack: torch.zeros_like(pack.tokens_NP))
    assert by_task["text"] == pytest.approx(only_text["val_loss"])
    assert only_text["val_loss_by_task"] == {"text": only_text["val_loss"]}


def test_a_task_changes_what_is_given_and_not_the_noise():
    settings = {"patch": (1, 2, 2), "text_dim": TEXT_DIM, "capacity": 48, "device": torch.device("cpu")}
    tasks = TaskMix(text=0.5, prefix=0.5, first_frame=0.0, region=0.0)
    fixed = Validation(SAMPLES[1:2], STATISTICS, Objective(), **settings, tasks=tasks)
    (prefix,) = (pack for pack, _, task in fixed.packs if task == "prefix")
    text = next(pack for pack, _, task in fixed.packs if task == "text")
    rest = ~prefix.table.clean_N
    assert 0 < rest.sum() < len(rest)
    assert torch.equal(prefix.tokens_NP[rest], text.tokens_NP[:18][rest])


def test_a_last_frame_is_given_where_the_sample_has_one():
    last = np.ones((4, 1, 4, 6), np.float16)
    sample = replace(SAMPLES[1], frame_latents={1.5: last})
    settings = {"patch": (1, 2, 2), "text_dim": TEXT_DIM, "capacity": 24, "device": torch.device("cpu")}
    tasks = TaskMix(text=0.5, last_frame=0.5, first_frame=0.0, prefix=0.0, region=0.0)
    fixed = Validation([sample, sample], STATISTICS, Objective(), **settings, tasks=tasks, lone_frames=True)
    assert [pack.table.lengths for pack, _, task in fixed.packs if task == "last_frame"] == [[24], [24]]
    assert all(sum(pack.table.lengths) <= 24 for pack, *_ in fixed.packs)


def test_losses_take_no_gradients():
    weight = torch.ones((), requires_grad=True)
    tracked = []

    def answer_of(pack):
        answer = pack.tokens_NP * weight
        tracked.append(answer.requires_grad)
        return answer

    validation().losses(answer_of)
    assert not any(tracked)


def test_motion_is_always_told() -> None:
    packs = validation([replace(SAMPLES[0], motion_px_s=7.0)]).packs
    told = torch.cat([pack.conditions_BK[:, CONDITIONS.index("motion")] for pack, *_ in packs])
    assert told.tolist() == [7.0] * 8
