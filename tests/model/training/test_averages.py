"""The weight average against the sum written out."""

import pytest
import torch
from torch import nn

from model.training.averages import WeightAverage, averages_of
from model.training.post_hoc import exponent_of


def test_average_is_the_weighted_sum_of_its_past():
    layer = nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, length=0.2)
    values = torch.tensor([1.0, 4.0, -2.0, 3.0])
    expected = 0.0
    for step, value in enumerate(values.tolist(), start=1):
        with torch.no_grad():
            layer.weight.fill_(value)
        average.update(layer, step)
        kept = (1 - 1 / step) ** (exponent_of(0.2) + 1)
        expected = kept * expected + (1 - kept) * value
    assert average.weights["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_what_training_started_from_is_not_in_the_average():
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, length=0.1)
    with torch.no_grad():
        layer.weight.add_(1.0)
    average.update(layer, 1)
    assert torch.equal(average.weights["weight"], layer.weight)


def test_averages_are_of_float32_and_of_the_weights_that_are_trained():
    layer = nn.Linear(3, 2).to(torch.bfloat16)
    layer.bias.requires_grad_(False)
    for average in averages_of(layer, (0.05, 0.1)).values():
        assert average.weights.keys() == {"weight"}
        assert average.weights["weight"].dtype == torch.float32


def test_the_second_average_reaches_further_back():
    layer = nn.Linear(1, 1, bias=False)
    short, long = averages_of(layer, (0.05, 0.1)).values()
    for step in range(1, 101):
        with torch.no_grad():
            layer.weight.fill_(float(step))
        for average in (short, long):
            average.update(layer, step)
    assert 85 < long.weights["weight"].item() < short.weights["weight"].item() < 100
