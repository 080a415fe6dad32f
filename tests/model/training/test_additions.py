"""Low-rank additions in a run: trained alone, kept alone, gone on with, and loaded over what they are to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.training.additions import weights_fingerprint
from model.training.averages import WeightAverage
from model.training.checkpoints import RunFolder
from model.training.exported import Base, base_at, load_transformer, read_base, with_additions, write_base
from model.training.parallel import ALONE
from model.training.samples import HeldSamples
from model.training.step import TrainState, transformer_config
from model.transformer.lora import lora_layers
from model.transformer.transformer import Transformer
from schemas.recipe.train import LoraConfig, TrainConfig
from tests.model.training.drawn import CONFIG, STATISTICS, TEXT_DIM, changed, colour_samples, run_fit

LORA = LoraConfig(rank=2, alpha=4.0, targets=("attention", "mlp"))
ADDED = changed(lora=LORA, learning_rate=0.01)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights, none of them zero."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(5)
    transformer = Transformer(transformer_config(CONFIG.model, 4, TEXT_DIM)).requires_grad_(False)
    for parameter in transformer.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    weights = transformer.state_dict()
    state = {"transformer": vars(transformer.config)}
    RunFolder(folder).save(1, {"model": weights, "average": weights}, state, keep=1)
    return folder


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_transformer(folder).state_dict()


def fit_to(run: Path, base: Path, config: TrainConfig = ADDED, **arguments: Any) -> dict[str, Any]:
    write_base(run, base_at(base, weights_of(base)))
    return run_fit(run, config, init=weights_of(base), **arguments)


@pytest.fixture
def run(tmp_path: Path, base: Path) -> Path:
    (tmp_path / "run").mkdir()
    fit_to(tmp_path / "run", base)
    return tmp_path / "run"


def test_the_first_loss_is_that_of_the_base_and_training_changes_additions_alone(run: Path, base: Path) -> None:
    plain: list[dict[str, Any]] = []
    run_fit(run.parent / "plain", CONFIG, init=weights_of(base), on_step=plain.append)
    metrics = RunFolder(run).metrics()
    assert metrics[0]["loss"] == plain[0]["loss"]
    assert metrics[-1]["loss"] != plain[-1]["loss"]
    added = with_additions(run, "model")
    state, before = added.state_dict(), weights_of(base)
    assert all(torch.equal(state[name], value) for name, value in before.items())
    assert all(layer.lora_b.abs().min() > 0 for layer in lora_layers(added).values())


def test_checkpoints_hold_additions_alone_and_say_what_they_are_to(run: Path, base: Path) -> None:
    checkpoint = RunFolder(run).newest()
    assert checkpoint is not None
    names = {f"{name}.{part}" for name in lora_layers(with_additions(run)) for part in ("lora_a", "lora_b")}
    assert checkpoint.tensors("model").keys() == checkpoint.tensors("average").keys() == names
    assert {name.rpartition(".")[0] for name in checkpoint.tensors("optimizer")} == names
    fingerprint = weights_fingerprint(weights_of(base))
    expected = {"rank": 2, "alpha": 4.0, "targets": ["attention", "mlp"], "base": fingerprint}
    assert checkpoint.state()["lora"] == expected
    assert read_base(run) == Base(str(base), fingerprint)


def test_a_run_that_is_gone_on_with_gives_the_numbers_of_an_unbroken_one(run: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    fit_to(tmp_path / "again", base, replace(ADDED, steps=4))
    fit_to(tmp_path / "again", base)
    found, truth = RunFolder(tmp_path / "again"), RunFolder(run)
    losses = [[line["loss"] for line in one.metrics()] for one in (found, truth)]
    assert losses[0] == losses[1]
    for kind in ("model", "average"):
        one, other = (folder.newest().tensors(kind) for folder in (found, truth))  # type: ignore[union-attr]
        assert all(torch.equal(one[name], value) for name, value in other.items())


@pytest.mark.parametrize("kind", ["average", "model"])
def test_what_is_loaded_is_the_base_with_additions_in_it(run: Path, base: Path, kind: Any) -> None:
    checkpoint, weights = RunFolder(run).newest(), weights_of(base)
    assert checkpoint is not None
    tensors, loaded = checkpoint.tensors(kind), load_transformer(run, kind).state_dict()
    assert loaded.keys() == weights.keys()
    for name, value in loaded.items():
        a, b = (tensors.get(f"{name.removesuffix('.weight')}.{part}") for part in ("lora_a", "lora_b"))
        expected = weights[name] if a is None or b is None else weights[name] + 2.0 * b @ a
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)


def test_additions_to_a_run_with_additions(run: Path, tmp_path: Path) -> None:
    """Those of the first are part of what the second adds to."""
    (tmp_path / "second").mkdir()
    fit_to(tmp_path / "second", run, replace(ADDED, lora=LoraConfig(rank=1)))
    state, first = with_additions(tmp_path / "second").state_dict(), weights_of(run)
    assert all(torch.equal(state[name], value) for name, value in first.items())


def test_a_base_that_has_changed_or_gone_is_told(run: Path, base: Path, tmp_path: Path) -> None:
    write_base(run, Base(str(tmp_path / "gone"), "f"))
    with pytest.raises(ValueError, match=r"no longer there \(.*base.json\): .*gone has no checkpoint"):
        load_transformer(run)
    other = Transformer(transformer_config(CONFIG.model, 4, TEXT_DIM))
    tensors = {"model": other.state_dict(), "average": other.state_dict()}
    RunFolder(tmp_path / "other").save(1, tensors, {"transformer": vars(other.config)}, keep=1)
    write_base(run, Base(str(tmp_path / "other"), weights_fingerprint(weights_of(base))))
    with pytest.raises(ValueError, match="other has changed since additions to it were trained"):
        load_transformer(run)
    (run / "base.json").unlink()
    with pytest.raises(ValueError, match=r"has no base\.json"):
        load_transformer(run)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LoraConfig(rank=3, alpha=4.0, targets=LORA.targets), "lora.rank = 3: .* was trained with 2"),
        (LoraConfig(rank=2, alpha=5.0, targets=LORA.targets), r"lora.alpha = 5.0: .* was trained with 4\.0"),
        (LoraConfig(rank=2, alpha=4.0), r"lora.targets = \['attention'\]: .* was trained with \['attention', 'mlp'\]"),
        (LoraConfig(), "lora.rank = 0: .* was trained with 2"),
    ],
)
def test_other_additions_do_not_go_on_with_a_run(run: Path, base: Path, lora: LoraConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_to(run, base, replace(ADDED, lora=lora, steps=8))


def test_neither_do_those_to_other_weights_nor_a_run_of_all_weights(run: Path, base: Path) -> None:
    other = {name: value + 1 for name, value in weights_of(base).items()}
    with pytest.raises(ValueError, match=r"lora\.base = .* was trained with"):
        run_fit(run, replace(ADDED, steps=8), init=other)
    run_fit(run.parent / "plain", CONFIG)
    with pytest.raises(ValueError, match=r"lora\.rank = 2: .* was trained with 0"):
        fit_to(run.parent / "plain", base, replace(ADDED, steps=8))


def test_additions_are_to_something(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lora\.rank = 2: there are no weights to add to"):
        run_fit(tmp_path, ADDED)


def test_averages_and_optimizers_are_of_additions_alone() -> None:
    state = TrainState(HeldSamples(colour_samples()), replace(ADDED, optimizer="muon"), STATISTICS, TEXT_DIM, ALONE)
    names = {name for name, parameter in state.model.named_parameters() if parameter.requires_grad}
    assert WeightAverage(state.model, 0.1).weights.keys() == names
    assert {name for _, _, parameters in state.optimizers.parts for name in parameters} == names
    assert all((parameter.grad is not None) == (name in names) for name, parameter in state.model.named_parameters())


def test_a_fingerprint_is_of_names_types_shapes_and_values() -> None:
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(2)}
    same = {"b": torch.ones(2), "a": torch.zeros(2, 3)}
    assert weights_fingerprint(same) == weights_fingerprint(weights)
    others = [
        {"a": weights["a"], "c": weights["b"]},
        weights | {"a": torch.zeros(3, 2)},
        weights | {"a": torch.zeros(2, 3, dtype=torch.int32)},
        weights | {"b": torch.ones(2) + 1e-6},
    ]
    assert len({weights_fingerprint(one) for one in [weights, *others]}) == 5
