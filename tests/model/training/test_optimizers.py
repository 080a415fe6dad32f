"""Which optimizer moves which weights, how learning rates rise and fall, and that a resumed run goes on the same."""

from __future__ import annotations

import pytest
import torch

from model.training.checkpoints import RunFolder
from model.training.muon import Muon
from model.training.optimizers import Optimizers, rate_share
from model.training.parallel import ALONE
from model.training.progress import Progress
from model.training.samples import HeldSamples
from model.training.step import TrainState
from schemas.recipe.train import TrainConfig
from tests.model.training.drawn import STATISTICS, TEXT_DIM, changed, colour_samples

MUON = changed(optimizer="muon", matrix_learning_rate=0.02, decay_share=0.5, steps=6)


def new_state(config: TrainConfig) -> TrainState:
    return TrainState(HeldSamples(colour_samples(24)), config, STATISTICS, TEXT_DIM, ALONE)


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest() -> None:
    model = new_state(MUON).model
    parts = Optimizers.of(model, MUON).parts
    named = dict(model.named_parameters())
    (adamw, adamw_rate, rest), (muon, muon_rate, matrices) = parts
    assert isinstance(adamw, torch.optim.AdamW)
    assert isinstance(muon, Muon)
    assert (adamw_rate, muon_rate) == (1e-3, 0.02)
    assert rest.keys() | matrices.keys() == named.keys()
    assert not rest.keys() & matrices.keys()
    assert matrices.keys() == {name for name, p in named.items() if name.startswith("blocks.") and p.ndim == 2}
    assert {"embed.weight", "final.weight", "blocks.0.mlp.0.bias"} <= rest.keys()
    assert [len(part[2]) for part in Optimizers.of(model, changed()).parts] == [len(named)]


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"steps": 4, "warmup_steps": 0}, [1, 1, 1, 1]),
        ({"steps": 4, "warmup_steps": 2}, [0.5, 1, 1, 1]),
        ({"steps": 5, "warmup_steps": 2, "decay_share": 0.4}, [0.5, 1, 1, 1, 0.5]),
        ({"steps": 4, "warmup_steps": 0, "decay_share": 1.0}, [1, 0.75, 0.5, 0.25]),
        ({"steps": 4, "warmup_steps": 4, "decay_share": 1.0}, [0.25, 0.375, 0.375, 0.25]),
    ],
)
def test_learning_rates_rise_to_their_peak_and_fall_to_zero_after_the_last_step(
    settings: dict[str, float], shares: list[float]
) -> None:
    config = changed(**settings)
    assert [rate_share(step, config) for step in range(1, config.steps + 1)] == pytest.approx(shares)


def test_both_optimizers_step_at_the_share_of_their_own_rates() -> None:
    state = new_state(MUON)
    before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    for parameter in state.model.parameters():
        parameter.grad = torch.randn_like(parameter)
    state.optimizers.step(0.5)
    assert [optimizer.param_groups[0]["lr"] for optimizer, _, _ in state.optimizers.parts] == [5e-4, 0.01]
    assert all(not torch.equal(p, before[name]) for name, p in state.model.named_parameters())
    state.optimizers.zero_grad()
    assert all(p.grad is not None and not p.grad.any() for p in state.model.parameters())


def test_a_resumed_run_goes_on_as_if_it_had_not_been_broken(tmp_path) -> None:
    def steps(state: TrainState, progress: Progress, count: int) -> Progress:
        for step, packs in list(state.steps_from(progress))[:count]:
            state.step(step, state.batch(packs))
            progress = step
        return progress

    whole, run = new_state(MUON), RunFolder(tmp_path)
    progress = steps(whole, Progress(), 3)
    run.save(progress.step, whole.tensors(), whole.state(progress), keep=1)
    assert len(whole.tensors()["optimizer"]) > len(whole.tensors()["model"])
    steps(whole, progress, 3)
    resumed = new_state(MUON)
    steps(resumed, resumed.restore(run.newest()), 3)
    for name, tensors in whole.tensors().items():
        found = resumed.tensors()[name]
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[key], value) for key, value in tensors.items())
