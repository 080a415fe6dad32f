"""How fast steps are: what they wait for, what they compute, and the share of what the device can."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from model.packing.cost import pack_cost
from model.training.devices import peak_flops
from schemas.recipe.train import ModelConfig

T = TypeVar("T")
PASSES = 3
"""A step's FLOPs are three times those of its forward passes: the pass back takes two for each."""


def with_waits(items: Iterator[T], clock: Callable[[], float] = time.monotonic) -> Iterator[tuple[T, float]]:
    """Each item with the seconds that it was waited for."""
    while True:
        asked_s = clock()
        try:
            item = next(items)
        except StopIteration:
            return
        yield item, clock() - asked_s


def step_flops(lengths: Sequence[Sequence[int]], model: ModelConfig) -> float:
    """FLOPs of the forward and backward passes of packs of documents of so many tokens: see `packing/cost.py`.

    What `activation_checkpointing` computes again is not counted.
    """
    size = model.width, model.depth, model.mlp_ratio, model.text
    return PASSES * float(sum(pack_cost(of_pack, *size) for of_pack in lengths))


def utilisation(flops: float, seconds: float, num_workers: int, device: torch.device) -> dict[str, float]:
    """`mfu`, model FLOPs utilisation: the share of the peak of so many devices. Empty where the peak is not known."""
    if device.type != "cuda":
        return {}
    peak = peak_flops(torch.cuda.get_device_name(device))
    return {} if peak is None else {"mfu": flops / seconds / (peak * num_workers)}
