"""Checkpoint folders come back as they were written, and are there whole or not at all."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from model.checkpoint import load_weights, read_config, read_json, save_model, with_tuples, write_json


def test_a_model_comes_back_in_its_own_precision(tmp_path):
    model = nn.Linear(3, 2)
    folder = tmp_path / "a" / "b"
    save_model(folder, model, {"sizes": (3, 2), "bias": True}, dtype=torch.float16)
    assert load_file(folder / "model.safetensors")["weight"].dtype == torch.float16
    assert with_tuples(read_config(folder)) == {"sizes": (3, 2), "bias": True}
    other = nn.Linear(3, 2)
    load_weights(folder, other)
    assert other.weight.dtype == torch.float32
    assert torch.equal(other.weight, model.weight.half().float())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_saving_leaves_other_files_alone_and_replaces_its_own(tmp_path):
    (tmp_path / "README.md").write_text("card")
    for value in (1.0, 2.0):
        model = nn.Linear(1, 1).requires_grad_(False)
        model.weight.fill_(value)
        save_model(tmp_path, model, {"value": value}, dtype=torch.float32)
    assert load_file(tmp_path / "model.safetensors")["weight"].item() == 2.0
    assert read_config(tmp_path) == {"value": 2.0}
    assert (tmp_path / "README.md").read_text() == "card"


def test_columns_of_another_tensor_can_be_saved(tmp_path):
    """safetensors refuses tensors that are not contiguous."""
    model = nn.Linear(4, 4, bias=False).requires_grad_(False)
    model.weight = nn.Parameter(torch.arange(16.0).view(4, 4).T, requires_grad=False)
    save_model(tmp_path / "model", model, {}, dtype=torch.float32)
    assert torch.equal(load_file(tmp_path / "model" / "model.safetensors")["weight"], model.weight)


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} holds no checkpoint"):
        read_config(tmp_path)
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_weights(tmp_path, nn.Linear(3, 2))
    save_model(tmp_path, nn.Linear(3, 2), {}, dtype=torch.float32)
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_weights(tmp_path, nn.Linear(3, 4))
    with pytest.raises(ValueError, match="Unexpected key"):
        load_weights(tmp_path, nn.Linear(3, 2, bias=False))
    save_model(tmp_path, nn.Linear(3, 2, bias=False), {}, dtype=torch.float32)
    with pytest.raises(ValueError, match="Missing key"):
        load_weights(tmp_path, nn.Linear(3, 2))


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "state.json"
    write_json(path, {"step": 1})
    with pytest.raises(TypeError):
        write_json(path, {"step": object()})
    assert read_json(path) == {"step": 1}
    assert path.read_text() == '{\n  "step": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]
