"""Waits, FLOPs and utilisation of steps."""

import pytest
import torch

from model.packing.cost import pack_cost
from model.training.speed import step_flops, utilisation, with_waits
from schemas.recipe.train import ModelConfig


def test_each_item_comes_with_the_time_that_it_was_waited_for():
    now = [0.0]

    def made(costs):
        for cost in costs:
            now[0] += cost
            yield cost

    found = []
    for item, waited in with_waits(made([3.0, 1.0]), clock=lambda: now[0]):
        found.append((item, waited))
        now[0] += 100.0  # of what is done with it
    assert found == [(3.0, 3.0), (1.0, 1.0)]


def test_flops_are_those_of_all_packs_forward_and_twice_back():
    model = ModelConfig(width=24, depth=2, num_heads=2, text="in_context")
    forward = sum(pack_cost(lengths, 24, 2, 4.0, "in_context") for lengths in ([6, 4], [8]))
    assert step_flops([[6, 4], [8]], model) == 3 * forward


def test_utilisation_is_of_the_peak_of_all_gpus(monkeypatch):
    assert utilisation(1e12, 1.0, 1, torch.device("cpu")) == {}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    share = utilisation(989e12, 0.5, 4, torch.device("cuda", 0))
    assert share == {"mfu": pytest.approx(0.5)}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Another")
    assert utilisation(1e12, 1.0, 1, torch.device("cuda", 0)) == {}
