"""Several processes, each with all weights or a part of them, give the numbers of one, and go on from each other's
checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.packing.packs import Pack
from model.training.checkpoints import RunFolder
from model.training.examples import Sample
from model.training.exported import load_transformer
from model.training.loop import fit
from model.training.parallel import Worker
from model.training.samples import HeldSamples
from model.training.step import TrainState
from model.training.stops import TrainingDiverged, TrainingStopped
from model.transformer.routing import Route
from model.transformer.transformer import Transformer
from schemas.recipe.train import LoraConfig, TrainConfig
from tests.model.training.drawn import CONFIG, STATISTICS, TEXT_DIM, changed, colour_samples, run_fit
from tests.model.training.workers import pool

Together = Callable[..., list[Any]]
WIDE = changed(packs_per_step=6, tokens_per_pack=24)


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    with pool(3) as run:
        yield run


def train(worker: Worker, run_dir: Path, config: TrainConfig) -> dict[str, Any]:
    return run_fit(run_dir, config, worker=worker)


def numbers(run_dir: Path, *names: str) -> list[tuple]:
    return [tuple(line[name] for name in names) for line in RunFolder(run_dir).metrics()]


def require_equal(found: Path, truth: Path, rtol: float = 1e-5) -> None:
    """The same steps with the same draws, and numbers and weights that are equal up to rounding."""
    exact = ("step", "epoch", "samples", "tokens", "lr", "draws")
    assert numbers(found, *exact) == numbers(truth, *exact)
    np.testing.assert_allclose(numbers(found, "loss", "grad_norm"), numbers(truth, "loss", "grad_norm"), rtol=rtol)
    of_found, of_truth = RunFolder(found).newest_good(), RunFolder(truth).newest_good()
    assert of_found is not None
    assert of_truth is not None
    for part in ("model", "average", "optimizer"):
        one, other = of_found.tensors(part), of_truth.tensors(part)
        assert one.keys() == other.keys()
        for name in one:
            atol = 5e-4 if "text_attention.to_q" in name else 1e-5  # Muon makes unit steps of gradients near zero
            torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_workers_give_the_numbers_of_one(tmp_path, together, parallel, optimizer):
    config = changed(parallel=parallel, optimizer=optimizer)
    together(2, train, tmp_path / "two", config)
    run_fit(tmp_path / "one", config)
    require_equal(tmp_path / "two", tmp_path / "one")
    validated = [[line.get("val_loss") for line in RunFolder(tmp_path / n).metrics()] for n in ("one", "two")]
    assert [loss is None for loss in validated[0]] == [loss is None for loss in validated[1]]
    for one, two in zip(*validated, strict=True):
        assert one == (None if two is None else pytest.approx(two, rel=1e-5))
    averaged = RunFolder(tmp_path / "two").newest().tensors("average")
    assert all(torch.equal(value, averaged[n]) for n, value in load_transformer(tmp_path / "two").state_dict().items())


def test_a_run_goes_on_with_any_number_of_workers_and_any_way_to_share(tmp_path, together):
    run_fit(tmp_path / "one", replace(WIDE, steps=8))
    for steps, num_workers, parallel in ((2, 2, "ddp"), (4, 1, "fsdp"), (6, 3, "fsdp"), (7, 2, "fsdp"), (8, 3, "ddp")):
        together(num_workers, train, tmp_path / "many", replace(WIDE, steps=steps, parallel=parallel))
    require_equal(tmp_path / "many", tmp_path / "one", rtol=1e-4)


def start_from_ones(worker: Worker, run_dir: Path) -> dict[str, Any]:
    torch.manual_seed(worker.rank)
    run_fit(run_dir / "first", changed(steps=1), worker=Worker()) if worker.rank == 0 else None
    torch.distributed.barrier()
    ones = {n: torch.full_like(w, 0.01) for n, w in load_transformer(run_dir / "first").state_dict().items()}
    return run_fit(run_dir / "next", changed(steps=1, learning_rate=1e-9, parallel="fsdp"), worker=worker, init=ones)


def test_shared_weights_start_from_those_that_are_given(tmp_path, together):
    together(2, start_from_ones, tmp_path)
    checkpoint = RunFolder(tmp_path / "next").newest()
    for part in ("model", "average"):
        assert all(torch.allclose(w, torch.full_like(w, 0.01), atol=1e-6) for w in checkpoint.tensors(part).values())


def add_to_random(worker: Worker, run_dir: Path, parallel: str) -> dict[str, Any]:
    base = TrainState(HeldSamples(colour_samples()), changed(seed=7), STATISTICS, TEXT_DIM, Worker()).model
    config = changed(parallel=parallel, steps=3, lora=LoraConfig(rank=2))
    return run_fit(run_dir, config, worker=worker, init=base.state_dict())


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_additions_are_trained_by_several_as_by_one(tmp_path, together, parallel):
    together(2, add_to_random, tmp_path / "two", parallel)
    add_to_random(Worker(), tmp_path / "one", parallel)
    require_equal(tmp_path / "two", tmp_path / "one")
    assert all(name.endswith(("lora_a", "lora_b")) for name in RunFolder(tmp_path / "two").newest().tensors("model"))


def shares(worker: Worker) -> tuple[int, int, int]:
    state = TrainState(HeldSamples(colour_samples()), changed(parallel="fsdp"), STATISTICS, TEXT_DIM, worker)
    parts = (
        state.model.parameters(),
        state.averages["average"].weights.values(),
        (p.grad for p in state.model.parameters()),
    )
    weights, averages, gradients = (sum(value.to_local().numel() for value in part) for part in parts)
    return weights, averages, gradients


def test_each_worker_holds_its_share_of_weights_averages_and_gradients(together):
    one, other = together(2, shares)
    whole = TrainState(HeldSamples(colour_samples()), CONFIG, STATISTICS, TEXT_DIM, Worker()).model
    count = sum(parameter.numel() for parameter in whole.parameters())
    assert [a + b for a, b in zip(one, other, strict=True)] == [count] * 3
    assert all(0.4 * count < held < 0.6 * count for held in (*one, *other))


def spoiled(worker: Worker, run_dir: Path, parallel: str) -> dict[str, Any]:
    """The second worker's transformer answers with infinite values to its pack of the third step."""
    forward, num_packs = Transformer.forward, 0

    def spoil(self: Transformer, pack: Pack, route: Route | None = None) -> Tensor:
        nonlocal num_packs
        num_packs += torch.is_grad_enabled()
        return forward(self, pack, route) * (float("inf") if num_packs == 1 + 3 else 1.0)  # one is tried ahead

    with pytest.MonkeyPatch.context() as patch:
        if worker.rank == 1:
            patch.setattr(Transformer, "forward", spoil)
        return run_fit(run_dir, changed(parallel=parallel, checkpoint_every=1), worker=worker)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_step_that_is_not_finite_on_one_worker_stops_all(tmp_path, together, parallel):
    errors = together(2, spoiled, tmp_path, parallel)
    assert [type(error) for error in errors] == [TrainingDiverged] * 2
    assert str(errors[0]) == str(errors[1])
    assert "step 3: " in str(errors[0])
    assert [line["step"] for line in RunFolder(tmp_path).metrics()] == [1, 2]
    assert RunFolder(tmp_path).newest_good().step == 2
    together(2, train, tmp_path, changed(parallel=parallel))
    assert [line["step"] for line in RunFolder(tmp_path).metrics()] == [1, 2, 3, 4, 5, 6]


class Unreadable(HeldSamples):
    """Samples that can be read once: by the validation."""

    def read(self, ids: Sequence[str]) -> list[Sample]:
        self.read = self._refuse
        return super().read(ids)

    def _refuse(self, ids: Sequence[str]) -> list[Sample]:
        raise ValueError(f"clip {ids[0]} cannot be read")


def unreadable(worker: Worker, run_dir: Path) -> dict[str, Any]:
    kind = Unreadable if worker.rank == 1 else HeldSamples
    return fit(kind(colour_samples()), CONFIG, STATISTICS, run_dir, text_dim=TEXT_DIM, worker=worker)


def test_samples_that_one_worker_cannot_read_stop_all_in_its_words(tmp_path, together):
    errors = together(2, unreadable, tmp_path)
    assert [type(error) for error in errors] == [TrainingStopped] * 2
    assert all(str(error).startswith("clip clip-") for error in errors)
    assert RunFolder(tmp_path).metrics() == []
