"""Low-rank additions by diffusers' names: what they add to its layers is what they add to ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.packing.packs import Document
from model.training.exported import load_transformer
from model.transformer.lora import add_lora, lora_layers, merge_lora
from model.transformer.published import dit, wan
from model.transformer.published.lora import FILE, published_lora, write_lora
from model.transformer.transformer import Transformer
from schemas.recipe.train import LoraConfig
from tests.model.transformer.published.test_published import NOTHING, answers
from tests.model.transformer.published.tiny import saved, tiny_dit, tiny_wan

diffusers = pytest.importorskip("diffusers")
CONFIG = LoraConfig(rank=2, alpha=6.0, targets=("attention", "mlp"))


def with_additions(folder: Path) -> Transformer:
    transformer = load_transformer(folder)
    add_lora(transformer, CONFIG)
    generator = torch.Generator().manual_seed(2)
    for layer in lora_layers(transformer).values():
        layer.lora_b.data = 0.1 * torch.randn(layer.lora_b.shape, generator=generator)
    return transformer.requires_grad_(False)


def written(module: Any, transformer: Transformer, folder: Path) -> dict[str, torch.Tensor]:
    write_lora(folder, published_lora(module.entries(transformer.config), lora_layers(transformer)))
    return load_file(folder / FILE)


def add_by_hand(network: Any, tensors: dict[str, torch.Tensor]) -> None:
    """W + B A, as PEFT adds them where no alpha is given."""
    for name, a in tensors.items():
        layer, is_a, _ = name.removeprefix("transformer.").partition(".lora_A.weight")
        if is_a:
            network.get_submodule(layer).weight.data += tensors[name.replace("lora_A", "lora_B")] @ a


def document(text: bool) -> Document:
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(4, 3 if text else 1, 8, 8, generator=generator)
    told = {} if text else {"label": 3}
    return Document(latent, NOTHING, 0.4, 2.0, torch.randn(5, 10, generator=generator) if text else None, told=told)


def answer_of_wan(network: Any) -> torch.Tensor:
    asked = document(text=True)
    assert asked.text_LE is not None
    with torch.no_grad():
        return network(asked.latent_CTHW[None], torch.tensor([400.0]), asked.text_LE[None]).sample[0]


def test_additions_to_a_wan_are_those_of_diffusers(tmp_path: Path) -> None:
    theirs = tiny_wan()
    ours = with_additions(saved(theirs, tmp_path / "wan"))
    tensors = written(wan, ours, tmp_path / "lora")
    of_block = [f"attn{i}.to_{part}" for i in (1, 2) for part in ("q", "k", "v", "out.0")]
    of_block += ["ffn.net.0.proj", "ffn.net.2"]
    assert tensors.keys() == {
        f"transformer.blocks.{i}.{layer}.lora_{part}.weight" for i in range(3) for layer in of_block for part in "AB"
    }
    before = answer_of_wan(theirs)
    add_by_hand(theirs, tensors)
    expected = answer_of_wan(theirs)
    assert (expected - before).abs().max() > 1e-2
    (found,) = answers(ours, [document(text=True)])
    torch.testing.assert_close(found[0], expected, rtol=0, atol=5e-5)


def test_additions_to_a_dit_are_those_of_diffusers(tmp_path: Path) -> None:
    theirs = tiny_dit()
    ours = with_additions(saved(theirs, tmp_path / "dit"))
    asked = document(text=False)
    add_by_hand(theirs, written(dit, ours, tmp_path / "lora"))
    with torch.no_grad():
        expected = theirs(asked.latent_CTHW[:, 0][None], torch.tensor([399]), torch.tensor([3])).sample[0]
    (found,) = answers(ours, [asked])
    torch.testing.assert_close(found.reshape(8, 8, 8), expected, rtol=0, atol=5e-5)
    merge_lora(ours)
    (merged,) = answers(ours, [asked])
    torch.testing.assert_close(merged, found, rtol=0, atol=5e-5)


def test_diffusers_loads_additions_to_a_wan(tmp_path: Path) -> None:
    """With PEFT, where that is installed: its loader takes the file, and answers as we do."""
    pytest.importorskip("peft")
    theirs = tiny_wan()
    ours = with_additions(saved(theirs, tmp_path / "wan"))
    written(wan, ours, tmp_path / "lora")
    absent = dict.fromkeys(["tokenizer", "text_encoder", "vae"])
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    diffusers.WanPipeline(**absent, transformer=theirs, scheduler=scheduler).load_lora_weights(tmp_path / "lora")
    (found,) = answers(ours, [document(text=True)])
    torch.testing.assert_close(found[0], answer_of_wan(theirs), rtol=0, atol=5e-5)
