"""Low-rank additions: nothing at the start, the same beside weights as in them, and only where they are asked for."""

from __future__ import annotations

import copy

import pytest
import torch

from model.packing.packs import pack_documents
from model.transformer.config import TransformerConfig
from model.transformer.lora import add_lora, additions, check_lora, load_base, lora_layers, merge_lora
from model.transformer.transformer import Transformer
from schemas.recipe.train import LoraConfig
from tests.model.transformer.test_modes import SIZES, randomised
from tests.model.transformer.test_transformer import random_documents

CONFIG = TransformerConfig(**SIZES)
OF_TEXT = "text_attention.to_kv text_attention.to_out text_attention.to_q"


def answer(transformer: Transformer) -> torch.Tensor:
    return transformer(pack_documents(random_documents(), transformer.config.patch, transformer.config.text_dim))


def with_random_b(transformer: Transformer) -> Transformer:
    generator = torch.Generator().manual_seed(1)
    for layer in lora_layers(transformer).values():
        layer.lora_b.data = torch.randn(layer.lora_b.shape, generator=generator)
    return transformer


def test_answers_start_as_those_of_the_base() -> None:
    base = randomised(CONFIG)
    added = copy.deepcopy(base)
    add_lora(added, LoraConfig(rank=4, targets=("attention", "mlp")))
    assert torch.equal(answer(added), answer(base))
    assert all(layer.lora_a.abs().sum() > 0 for layer in lora_layers(added).values())


def test_an_addition_is_b_a_times_alpha_over_rank() -> None:
    base = randomised(CONFIG)
    added = copy.deepcopy(base)
    add_lora(added, LoraConfig(rank=4, alpha=6.0, targets=("attention", "mlp")))
    with_random_b(added)
    weights = base.state_dict()
    for name, layer in lora_layers(added).items():
        assert layer.lora_a.shape == (4, layer.in_features)
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + 1.5 * layer.lora_b @ layer.lora_a
    written_out = Transformer(CONFIG)
    written_out.load_state_dict(weights)
    found = answer(added)
    assert (found - answer(base)).abs().max() > 0.1
    torch.testing.assert_close(found, answer(written_out), rtol=1e-4, atol=1e-4)
    merge_lora(added)
    assert added.state_dict().keys() == weights.keys()
    assert not lora_layers(added)
    torch.testing.assert_close(answer(added), found, rtol=1e-4, atol=1e-4)


def test_only_additions_are_trained() -> None:
    transformer = randomised(CONFIG)
    names = set(transformer.state_dict())
    add_lora(transformer, LoraConfig(rank=2))
    trained = {name for name, parameter in transformer.named_parameters() if parameter.requires_grad}
    assert trained == set(additions(transformer)) == set(transformer.state_dict()) - names
    assert len(trained) == 2 * 5 * SIZES["depth"]


@pytest.mark.parametrize(
    ("targets", "config", "of_a_block"),
    [
        (("attention",), CONFIG, f"attention.to_out attention.to_qkv {OF_TEXT}"),
        (("text_attention",), CONFIG, OF_TEXT),
        (("to_qkv", "mlp"), CONFIG, "attention.to_qkv mlp.0 mlp.2"),
        (("qkv",), TransformerConfig(**SIZES, text="joint"), "text.attention.to_qkv video.attention.to_qkv"),
        (
            ("time_attention", "time_out"),
            TransformerConfig(**SIZES, time_attention=True),
            "time_attention.to_out time_attention.to_qkv time_out",
        ),
    ],
)
def test_targets_are_parts_of_names_or_their_ends(
    targets: tuple[str, ...], config: TransformerConfig, of_a_block: str
) -> None:
    transformer = randomised(config)
    add_lora(transformer, LoraConfig(rank=1, targets=targets))
    expected = {f"blocks.{i}.{name}" for i in range(SIZES["depth"]) for name in of_a_block.split()}
    assert set(lora_layers(transformer)) == expected


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            ("attention", "attn1"),
            r"lora.targets: 'attn1' is no linear layer of a block; there are attention, ",
        ),
        (("modulation",), "lora.targets: 'modulation' is no linear layer of a block"),
        (("final",), "lora.targets: 'final' is no linear layer of a block"),
        (("0",), None),
        ((), r"lora.targets = \[\]: name the layers"),
    ],
)
def test_bad_targets_are_named(targets: tuple[str, ...], message: str | None) -> None:
    """`0` is the first layer of an MLP, and not the first block."""
    config = LoraConfig(rank=1, targets=targets)
    if message is None:
        transformer = randomised(CONFIG)
        add_lora(transformer, config)
        assert set(lora_layers(transformer)) == {f"blocks.{i}.mlp.0" for i in range(SIZES["depth"])}
        return
    with pytest.raises(ValueError, match=message):
        check_lora(CONFIG, config)
    check_lora(CONFIG, LoraConfig(rank=0, targets=targets))


def test_a_base_is_loaded_under_additions_that_stay() -> None:
    transformer, other = Transformer(CONFIG), randomised(CONFIG)
    add_lora(transformer, LoraConfig(rank=2))
    with_random_b(transformer)
    before = {name: value.clone() for name, value in additions(transformer).items()}
    load_base(transformer, other.state_dict())
    after = transformer.state_dict()
    assert all(torch.equal(after[name], value) for name, value in (other.state_dict() | before).items())
