"""Memory that a forward pass keeps for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from model.packing.packs import Pack
from model.transformer.transformer import Transformer

Sizes = dict[int, int]
"""Bytes of tensors' memory by its identity, so that what several of them share is counted once."""


@dataclass(frozen=True)
class Kept:
    """Of one part of a network."""

    inputs: Sizes = field(default_factory=dict)
    """The tensors that it is called with."""
    saved: Sizes = field(default_factory=dict)
    """What it keeps."""


def kept_bytes(transformer: Transformer, pack: Pack, *, recomputed: bool = False) -> int:
    """Bytes that a forward pass keeps, without the weights.

    Args:
        recomputed: whether blocks keep what goes into them alone, and are computed again in the backward pass: then one
            of them, the largest, keeps all at a time.
    """
    outside, blocks = kept_tensors(transformer, pack)
    if not recomputed:
        return sum(_united(outside.saved, *(block.saved for block in blocks)).values())
    always = _united(outside.saved, *(block.inputs for block in blocks))
    return sum(always.values()) + max(sum(n for i, n in block.saved.items() if i not in always) for block in blocks)


def kept_tensors(transformer: Transformer, pack: Pack) -> tuple[Kept, list[Kept]]:
    """What a forward pass keeps outside of the blocks, and in each of them."""
    weights = {parameter.untyped_storage()._cdata for parameter in transformer.parameters()}
    outside, blocks = Kept(), [Kept() for _ in transformer.blocks]
    current = [outside]

    def note(tensor: Tensor, among: Sizes) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            among[storage._cdata] = storage.nbytes()

    def save(tensor: Tensor) -> Tensor:
        note(tensor, current[-1].saved)
        return tensor

    def enter(kept: Kept, _: nn.Module, inputs: tuple[object, ...]) -> None:
        current.append(kept)
        for tensor in inputs:
            if isinstance(tensor, Tensor):
                note(tensor, kept.inputs)

    def leave(*_: object) -> None:
        current.pop()

    hooks = []
    for block, kept in zip(transformer.blocks, blocks, strict=True):
        hooks += [block.register_forward_pre_hook(partial(enter, kept)), block.register_forward_hook(leave)]
    with saved_tensors_hooks(save, lambda tensor: tensor):
        answer = transformer(pack)
    assert answer.requires_grad
    for hook in hooks:
        hook.remove()
    return outside, blocks


def _united(*sizes: Sizes) -> Sizes:
    return {i: n for each in sizes for i, n in each.items()}
