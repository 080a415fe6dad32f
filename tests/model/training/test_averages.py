"""The weight average against the sum written out, and its warm-up."""

import torch
from torch import nn

from model.training.averages import WeightAverage


def test_average_is_the_weighted_sum_of_its_past():
    layer = nn.Linear(1, 1, bias=False)
    values = [1.0, 4.0, -2.0, 3.0]
    with torch.no_grad():
        layer.weight.fill_(values[0])
    average = WeightAverage(layer, decay=0.25)
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        with torch.no_grad():
            layer.weight.fill_(value)
        average.update(layer, step)
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.weights["weight"], torch.tensor([[expected]]))


def test_average_continues_from_saved_weights_in_float32():
    layer = nn.Linear(3, 2).to(torch.bfloat16)
    average = WeightAverage(layer, decay=0.9)
    assert average.weights["weight"].dtype == torch.float32
    saved = {name: torch.randn(w.shape) for name, w in average.weights.items()}
    average.load(saved)
    assert all(torch.equal(average.weights[name], saved[name]) for name in saved)
