"""Validation: losses at fixed noise levels."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.diffusion.objectives import Objective
from model.training.validation import Validation
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
        for pack, _ in packs
        for timestep, grid in zip(pack.timestep_B.tolist(), pack.table.extents, strict=True)
    ]
    grids = [(1, 2, 2), (3, 2, 3), (2, 3, 2), (1, 2, 2)]
    assert Counter(documents) == Counter((level, grid) for grid in grids for level in LEVELS)
    assert not any(pack.clean_N.any() for pack, _ in packs)


def test_packs_are_filled_to_their_capacity():
    """A sample of 18 tokens at 8 levels: two fit into 36 to 53 tokens, one into 35."""
    assert [len(pack.timestep_B) for pack, _ in validation(SAMPLES[1:2], 36).packs] == [2, 2, 2, 2]
    assert [len(pack.timestep_B) for pack, _ in validation(SAMPLES[1:2], 53).packs] == [2, 2, 2, 2]
    assert [len(pack.timestep_B) for pack, _ in validation(SAMPLES[1:2], 35).packs] == [1] * 8


def test_a_sample_of_one_token_is_packed_too():
    smallest = replace(SAMPLES[0], latent_CTHW=np.zeros((4, 1, 2, 2), np.float16))
    assert [len(pack.timestep_B) for pack, _ in validation([smallest], 2).packs] == [2, 2, 2, 2]


def test_the_noise_of_a_sample_is_its_own_and_the_same_at_every_level():
    """Data and noise of a level are token minus timestep times velocity, and that plus velocity."""
    noises = []
    for sample in SAMPLES[:1] + SAMPLES[3:]:  # of one shape
        data = STATISTICS.whiten(sample.latent_CTHW).mean().item()
        for pack, targets in validation([sample]).packs:
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
    assert {length for pack, _ in packs for length in pack.table.text_lengths} == {5}


def test_losses_are_means_over_all_over_a_level_and_over_a_shape():
    """A model that answers the velocity plus twice the timestep is wrong by four times its square."""
    fixed = validation()
    targets = {id(pack): targets.answer_NP for pack, targets in fixed.packs}

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
    targets = {id(pack): targets.answer_NP for pack, targets in fixed.packs}
    answered = {
        v: fixed.losses(lambda pack, v=v: torch.cat([targets[id(pack)], torch.full_like(pack.tokens_NP, v)], dim=1))
        for v in (-1.0, 9.0)
    }
    assert answered[-1.0]["val_loss"] == pytest.approx(0.0, abs=1e-5)  # a right prediction, and its least variance
    assert answered[9.0]["val_loss"] > 1e-3


def test_losses_take_no_gradients():
    weight = torch.ones((), requires_grad=True)
    tracked = []

    def answer_of(pack):
        answer = pack.tokens_NP * weight
        tracked.append(answer.requires_grad)
        return answer

    validation().losses(answer_of)
    assert not any(tracked)
