"""Trained weights for use: the averaged ones of the newest checkpoint, or those of a folder that they were put into."""

from pathlib import Path

import pytest
import torch

from model.training.checkpoints import RunFolder
from model.training.exported import load_transformer, save_transformer
from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer

CONFIG = TransformerConfig(width=24, depth=1, num_heads=2, latent_channels=4, text_dim=3)


def test_the_averaged_weights_of_the_newest_checkpoint_are_loaded(tmp_path):
    torch.manual_seed(0)
    raw, average = Transformer(CONFIG).state_dict(), Transformer(CONFIG).state_dict()
    state = {"transformer": vars(CONFIG)}
    RunFolder(tmp_path).save(3, {"model": raw, "average": raw}, state, keep=2)
    RunFolder(tmp_path).save(4, {"model": raw, "average": average}, state, keep=2)
    transformer = load_transformer(tmp_path)
    assert transformer.config == CONFIG
    assert all(torch.equal(value, average[name]) for name, value in transformer.state_dict().items())
    assert not transformer.training
    assert not any(parameter.requires_grad for parameter in transformer.parameters())


def test_a_run_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no checkpoint"):
        load_transformer(tmp_path)


@pytest.mark.parametrize(("weights", "wanted"), [("average", 1.0), ("model", 2.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_exported_weights_are_those_of_the_run(tmp_path: Path, weights, wanted: float, dtype: torch.dtype) -> None:
    given = {name: torch.full_like(value, wanted) for name, value in Transformer(CONFIG).state_dict().items()}
    other = {name: torch.zeros_like(value) for name, value in given.items()}
    tensors = {"average": other, "model": other} | {weights: given}
    RunFolder(tmp_path / "run").save(1, tensors, {"transformer": vars(CONFIG)}, keep=1)
    save_transformer(tmp_path / "out", load_transformer(tmp_path / "run", weights), dtype=dtype)
    transformer = load_transformer(tmp_path / "out")
    assert transformer.config == CONFIG
    assert all((value == wanted).all() for value in transformer.state_dict().values())
    sizes = [path.stat().st_size for path in (tmp_path / "out").rglob("*.safetensors")]
    num_values = sum(value.numel() for value in given.values())
    assert num_values * dtype.itemsize < sum(sizes) < num_values * dtype.itemsize + 10_000
