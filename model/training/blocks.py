"""What is done to the blocks of a transformer for training: recomputed in the pass back, compiled."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Compile each block by itself: of equal ones, the compiler works once. Lengths of packs are left open."""
    for block in blocks:
        block.forward = torch.compile(block.forward, dynamic=True)


def recompute_blocks(blocks: Iterable[nn.Module]) -> None:
    """Keep of each block what goes into it, and compute the rest again in the pass back (Chen et al. 2016)."""
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
