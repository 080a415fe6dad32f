"""Averages of weights of any length, from the snapshots that a run has kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.training.averages import AVERAGE, LONGER
from model.training.checkpoints import Checkpoint
from model.training.post_hoc import Profile, combination, exponent_of


def average_of_length(snapshots: Sequence[Checkpoint], lengths: Sequence[float], wanted: Profile) -> dict[str, Tensor]:
    """The combination of a run's averages that comes closest to another, in float32; one snapshot is read at a time.

    Args:
        lengths: relative ones of the two averages in each snapshot.
    Raises:
        ValueError: there is no snapshot up to the wanted step, or one is damaged.
    """
    tracks = [(snapshot, name) for snapshot in snapshots for name in (AVERAGE, LONGER)]
    exponents = dict(zip((AVERAGE, LONGER), map(exponent_of, lengths), strict=True))
    factors = combination([Profile(snapshot.step, exponents[name]) for snapshot, name in tracks], wanted)
    made: dict[str, Tensor] = {}
    for (snapshot, name), factor in zip(tracks, factors.tolist(), strict=True):
        if factor == 0.0:
            continue
        if (damage := snapshot.damage()) is not None:
            raise ValueError(f"{damage}: no average can be made of it")
        for key, value in snapshot.tensors(name).items():
            made[key] = made.get(key, torch.zeros_like(value)).add_(value, alpha=factor)
    return made
