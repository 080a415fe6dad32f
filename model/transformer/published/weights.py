"""Maps of weights between names and forms: one entry for each of our tensors, with an inverse.

Shapes: D model width, C channels, p a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """One of our tensors, and those of theirs that it is made of."""

    ours: str
    theirs: tuple[str, ...]
    take: Callable[[Sequence[Tensor]], Tensor]
    """Theirs to ours."""
    give: Callable[[Tensor], Sequence[Tensor]]
    """Ours to theirs."""


def same(ours: str, *theirs: str) -> Entry:
    """The same tensor; where they have it several times, all must be equal.

    Raises:
        ValueError: on use, if they are not.
    """

    def take(tensors: Sequence[Tensor]) -> Tensor:
        if not all(torch.equal(tensor, tensors[0]) for tensor in tensors):
            raise ValueError(f"{', '.join(theirs)} differ: ours has one {ours}")
        return tensors[0]

    return Entry(ours, theirs, take, lambda tensor: [tensor] * len(theirs))


def layer(ours: str, *theirs: str) -> list[Entry]:
    """`same` for weight and bias."""
    return [same(f"{ours}.{part}", *(f"{name}.{part}" for name in theirs)) for part in ("weight", "bias")]


def fused(ours: str, *theirs: str) -> list[Entry]:
    """A layer of ours that computes what several of theirs compute, of equal size, one after the other."""
    return [
        Entry(
            f"{ours}.{part}",
            tuple(f"{name}.{part}" for name in theirs),
            lambda tensors: torch.cat(list(tensors)),
            lambda tensor: tensor.chunk(len(theirs)),
        )
        for part in ("weight", "bias")
    ]


def shaped(ours: str, theirs: str, ours_shape: Sequence[int], theirs_shape: Sequence[int]) -> Entry:
    """The same values in another form."""
    return Entry(
        ours, (theirs,), lambda ts: ts[0].reshape(tuple(ours_shape)), lambda t: [t.reshape(tuple(theirs_shape))]
    )


def patch_output(ours: str, theirs: str, groups: int, channels: int, patch: Sequence[int]) -> list[Entry]:
    """The last layer: ours answers group by group, channel by channel, then place by place in the patch; theirs place
    by place, then group by group, channel by channel."""
    pt, ph, pw = patch

    def take(tensors: Sequence[Tensor]) -> Tensor:
        rest = tensors[0].shape[1:]
        return tensors[0].reshape(pt, ph, pw, groups, channels, *rest).movedim((3, 4), (0, 1)).reshape(-1, *rest)

    def give(tensor: Tensor) -> Sequence[Tensor]:
        rest = tensor.shape[1:]
        return [tensor.reshape(groups, channels, pt, ph, pw, *rest).movedim((0, 1), (3, 4)).reshape(-1, *rest)]

    return [Entry(f"{ours}.{part}", (f"{theirs}.{part}",), take, give) for part in ("weight", "bias")]


def to_ours(entries: Iterable[Entry], weights: Mapping[str, Tensor], ignored: Iterable[str] = ()) -> dict[str, Tensor]:
    """Our weights of theirs.

    Args:
        ignored: tensors of theirs that ours works out by itself.
    Raises:
        ValueError: a tensor is missing, or there is one that the map does not know.
    """
    entries = list(entries)
    known = {name for entry in entries for name in entry.theirs}
    missing, unknown = sorted(known - weights.keys()), sorted(weights.keys() - known - set(ignored))
    if missing or unknown:
        raise ValueError(f"not the weights of this model: missing {missing[:3]}, unknown {unknown[:3]}")
    return {entry.ours: entry.take([weights[name] for name in entry.theirs]).contiguous() for entry in entries}


def to_theirs(entries: Iterable[Entry], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their weights of ours; tensors of ours that the map does not name are left out."""
    found = {}
    for entry in entries:
        given = entry.give(weights[entry.ours])
        found |= {name: tensor.clone() for name, tensor in zip(entry.theirs, given, strict=True)}
    return found
